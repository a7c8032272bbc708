use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::{TempDir, tempdir};

use super::super::QemuConfig;
use super::*;

/// A QEMU that does what the script says, in place of a guest.
fn script(directory: &TempDir, text: &str) -> PathBuf {
    let program = directory.path().join("qemu.sh");
    let version = "[ \"$1\" = --version ] && echo 'QEMU emulator version 7.2.0' && exit 0";
    fs::write(&program, format!("#!/bin/sh\n{version}\necho $$ >> {}\n{text}\n", pids(directory).display()))
        .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn pids(directory: &TempDir) -> PathBuf {
    directory.path().join("pids")
}

/// The trials that were started, and whether each is gone.
fn trials(directory: &TempDir) -> Vec<bool> {
    let pids = fs::read_to_string(pids(directory)).unwrap_or_default();
    pids.lines().map(|pid| process::identity(pid.parse().unwrap()).is_none()).collect()
}

#[test]
fn words_are_read_as_they_are_written() {
    for accel in [Accel::Auto, Accel::Kvm, Accel::Tcg] {
        assert_eq!(accel.to_string().parse(), Ok(accel));
    }
    assert_eq!("hvf".parse::<Accel>(), Err(UnknownAccel));
}

#[test]
fn hardware_virtualization_is_a_flag_of_the_cpu() {
    let check = |flags: &[&str], expected| {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        assert_eq!(has_virtualization(&flags), expected, "{flags:?}");
    };
    check(&["fpu", "vmx", "sse"], true);
    check(&["svm"], true);
    check(&["fpu", "svm_lock", "hypervisor"], false);
    check(&[], false);
}

#[tokio::test]
async fn a_trial_believes_only_a_guest_that_speaks() {
    let check = async |text: &str, deadline_secs: u64, expected: bool| {
        let directory = tempdir().unwrap();
        let program = script(&directory, text);
        let deadline = Duration::from_secs(deadline_secs);
        let trial = Trial { directory: &directory.path().join("trial"), deadline };
        assert_eq!(trial.run(&program).await.unwrap(), expected, "{text}");
        assert_eq!(trials(&directory), [true], "{text}");
        assert!(!trial.directory.exists());
    };
    check("echo READY > console.log; exec sleep 1000", 60, true).await;
    check("exec sleep 1000", 2, false).await;
    check("echo 'KVM internal error' > console.log; exec sleep 1000", 2, false).await;
    check("exit 1", 60, false).await;
}

#[tokio::test]
async fn a_dropped_trial_leaves_nothing_running_and_can_be_repeated() {
    let directory = tempdir().unwrap();
    let program = script(&directory, "exec sleep 1000");
    let trial = Trial { directory: &directory.path().join("trial"), deadline: Duration::from_secs(60) };
    let begun = async {
        while trials(&directory).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = trial.run(&program) => panic!("{ended:?}"),
        () = begun => {}
    }
    assert_eq!(trials(&directory), [true]);
    let program = script(&directory, "echo READY > console.log; exec sleep 1000");
    assert!(trial.run(&program).await.unwrap());
    assert_eq!(trials(&directory), [true, true]);
}

#[tokio::test]
async fn a_trial_of_a_killed_program_is_ended_by_the_next() {
    let directory = tempdir().unwrap();
    let trial_directory = directory.path().join("trial");
    fs::create_dir(&trial_directory).unwrap();
    let lock = LockedFile::try_exclusive(&trial_directory.join("lock")).unwrap().unwrap();
    // A shell that waits for somebody to open the other end of a pipe.
    let pipe = directory.path().join("pipe");
    nkudo_host::fifo::make(&pipe).unwrap();
    let orphan = tokio::process::Command::new("sh")
        .args(["-c", "read line < \"$0\""])
        .args([pipe.as_os_str(), TRIAL_NAME.as_ref()])
        .stdin(lock.into_file())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .unwrap();
    let orphan = process::identity(orphan.id().unwrap()).unwrap();
    // Until the shell runs under its own name.
    while process::command_line(orphan.pid).is_none_or(|line| !line.contains(&TRIAL_NAME.to_owned())) {
        tokio::task::yield_now().await;
    }
    Trial { directory: &trial_directory, deadline: Duration::ZERO }.end_previous().await;
    assert!(!process::is_alive(orphan));
}

/// A trial is made once for a boot of the host and a version of QEMU.
#[tokio::test]
async fn what_a_trial_found_is_remembered() {
    let directory = tempdir().unwrap();
    let program = script(&directory, "echo READY > console.log; exec sleep 1000");
    let cache_dir = directory.path().join("cache");
    let config = QemuConfig {
        program,
        accel: Accel::Auto,
        cache_dir: cache_dir.clone(),
        ..QemuConfig::in_state_dir(directory.path())
    };
    let installed = Qemu::new(config).installed().await.unwrap();
    for _ in 0..2 {
        assert!(tried(&installed, &cache_dir).await.unwrap());
        assert_eq!(trials(&directory).len(), 1);
    }
    for (field, other) in [("boot_id", "another"), ("qemu_version", "0.1")] {
        let before = trials(&directory).len();
        let cache = cache_dir.join("kvm.json");
        let mut finding: serde_json::Value = serde_json::from_slice(&fs::read(&cache).unwrap()).unwrap();
        finding[field] = other.into();
        fs::write(&cache, finding.to_string()).unwrap();
        assert!(tried(&installed, &cache_dir).await.unwrap());
        assert_eq!(trials(&directory).len(), before + 1, "{field}");
    }
}

/// With the real QEMU on whatever `/dev/kvm` is here: an answer in time, and nothing left.
#[tokio::test]
async fn the_real_kvm_is_tried() {
    let directory = tempdir().unwrap();
    let installed = Qemu::new(QemuConfig::in_state_dir(directory.path())).installed().await.unwrap();
    let trial_directory = directory.path().join("trial");
    let trial = Trial { directory: &trial_directory, deadline: TRIAL_DEADLINE };
    let works = trial.run(&installed.program).await.unwrap();
    if !Path::new("/dev/kvm").exists() {
        assert!(!works);
        eprintln!("SKIPPED the rest of the_real_kvm_is_tried: there is no /dev/kvm");
    }
    assert!(!trial_directory.exists());
}
