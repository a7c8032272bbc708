//! The journal against the host, with real QEMU: what is found, what is mended, and what is never touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::{Host, alive, installed, on, send_signal, until, vm_id};

/// Runs the doctor and expects this exit code and these kinds, each with whether it is mended by `--fix`.
fn doctor(host: &Host, args: &[&str], code: i32, kinds: &[(&str, bool)]) -> Value {
    let ran = host.run(&[&["doctor", "--output", "json"], args].concat());
    assert_eq!(ran.code(), code, "{}\n{}", ran.stdout(), ran.stderr());
    let view = ran.json();
    let items = view["items"].as_array().unwrap();
    let mut told: Vec<(&str, bool)> =
        items.iter().map(|item| (item["kind"].as_str().unwrap(), item["fixable"] == true)).collect();
    told.sort_unstable();
    assert_eq!(told, kinds, "{view:#}");
    view
}

fn item<'v>(view: &'v Value, kind: &str) -> &'v Value {
    view["items"].as_array().unwrap().iter().find(|item| item["kind"] == kind).unwrap()
}

/// Every name below a directory with what it holds; links are not followed.
fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let holds = if kind.is_file() {
            String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
        } else {
            format!("{kind:?}")
        };
        if kind.is_dir() {
            found.extend(tree(&path));
        }
        found.insert(path, holds);
    }
    found
}

/// Makes a file look as if nobody had touched it for an hour.
fn age(path: &Path) {
    #[expect(clippy::disallowed_methods, reason = "the file's age is measured against the host's clock")]
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(path).unwrap().set_modified(hour_ago).unwrap();
}

/// A state directory that the agent has left in order.
fn stopped(config: &str) -> Host {
    let mut host = Host::running(config);
    assert_eq!(host.stop(), Some(0));
    host
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_host_that_is_as_its_journal_says_has_no_findings() {
    if !installed("qemu-system-x86_64") {
        return;
    }
    let mut host = Host::running("");
    let (id, idle) = (vm_id(1), vm_id(2));
    host.succeed(&host.create(&id, "runs"));
    host.succeed(&host.create(&idle, "idle"));
    host.succeed(&json!({"action_type": "MicroVMStop", "params": {"vm_id": idle, "grace_seconds": 0}}));
    assert_eq!(doctor(&host, &[], 0, &[])["daemon_running"], true);
    let refused = host.run(&["doctor", "--fix"]);
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr().contains("nothing is mended while the agent runs"), "{}", refused.stderr());
    assert_eq!(host.stop(), Some(0));
    assert_eq!(doctor(&host, &[], 0, &[])["daemon_running"], false);
    assert_eq!(host.run(&["doctor"]).stdout(), "Nothing to mend: the host is as its journal says.\n");
    doctor(&host, &["--fix"], 0, &[]);
    assert!(alive(host.vmm_pid(&id).unwrap()), "a vm outlives the doctor");
    assert!(!host.state_dir().join("quarantine").exists(), "nothing was taken");
}

#[test]
fn a_look_while_vms_come_and_go_finds_nothing() {
    if !installed("qemu-system-x86_64") {
        return;
    }
    let host = Host::running("");
    let rounds = (0..12).flat_map(|round| {
        let id = vm_id(500 + round);
        [host.create(&id, &format!("r{round}")), on("MicroVMPause", &id), on("MicroVMDelete", &id)]
    });
    let file = host.path("rounds.json");
    fs::write(&file, Value::Array(rounds.collect()).to_string()).unwrap();
    let mut apply = host.command();
    let mut apply =
        apply.args(["apply", "-f", file.to_str().unwrap()]).stdout(Stdio::null()).spawn().unwrap();
    let mut looks = 0;
    let ended = until("the end of the rounds", || {
        doctor(&host, &[], 0, &[]);
        looks += 1;
        apply.try_wait().unwrap()
    });
    assert!(ended.success() && looks > 5, "{looks} looks");
}

#[test]
fn leftovers_are_told_put_aside_whole_and_not_told_again() {
    if !installed("qemu-system-x86_64") {
        return;
    }
    let mut host = Host::running("");
    let dies = vm_id(3);
    host.succeed(&host.create(&dies, "dies"));
    send_signal(host.vmm_pid(&dies).unwrap(), "KILL");
    host.wait_for_vm(&dies, "failed");
    // Its address file and its socket are left.
    host.kill_9();
    let (state, vms) = (host.state_dir(), host.state_dir().join("vms"));
    let orphan = vms.join(vm_id(70));
    fs::create_dir(&orphan).unwrap();
    fs::write(orphan.join("lock"), "").unwrap();
    fs::write(orphan.join("disk"), [0, 159, 146, 150]).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", orphan.join("link")).unwrap();
    let half = state.join("edge-state.json.new");
    fs::write(&half, "{").unwrap();
    age(&half);
    fs::write(state.join("journal/00000000000000000001.seg.corrupt-1"), "torn").unwrap();
    let gone = vms.join(format!(".gone-{}", vm_id(71)));
    fs::create_dir(&gone).unwrap();
    age(&gone);
    // What is not ours.
    let outside = host.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "kept").unwrap();
    std::os::unix::fs::symlink(&outside, vms.join(vm_id(72))).unwrap();
    fs::write(vms.join("notes.txt"), "mine").unwrap();
    fs::create_dir(vms.join("lost+found")).unwrap();
    fs::create_dir(vms.join(vm_id(73))).unwrap();
    fs::write(vms.join(vm_id(73)).join("thesis.txt"), "mine too").unwrap();
    let mut foreign = foreign_qemu(&outside, &vm_id(70));

    let before = tree(&state);
    let kinds = [
        ("foreign_entry", false),
        ("foreign_entry", false),
        ("foreign_entry", false),
        ("foreign_entry", false),
        ("leftover_socket", true),
        ("leftover_socket", true),
        ("orphan_directory", true),
        ("set_aside", true),
        ("stale_address", true),
        ("unfinished_directory", true),
        ("unfinished_file", true),
    ];
    doctor(&host, &[], 1, &kinds);
    assert_eq!(tree(&state), before, "a look alters nothing");
    let text = host.run(&["doctor"]).stdout();
    for piece in
        ["✗ orphan_directory:", "would     move", "11 findings, of which `edge-agent doctor --fix` mends 7"]
    {
        assert!(text.contains(piece), "{piece}: {text}");
    }

    let view = doctor(&host, &["--fix"], 1, &kinds);
    let kept = PathBuf::from(item(&view, "orphan_directory")["kept_as"].as_str().unwrap());
    assert_eq!(fs::read(kept.join("disk")).unwrap(), [0, 159, 146, 150]);
    assert_eq!(fs::read_link(kept.join("link")).unwrap(), Path::new("/etc/hostname"));
    assert!(kept.starts_with(state.join("quarantine")) && !orphan.exists());
    assert_eq!(fs::metadata(state.join("quarantine")).unwrap().permissions().mode() & 0o777, 0o700);
    let mended = view["items"].as_array().unwrap().iter().filter(|item| item["fixed"] == true).count();
    assert_eq!(mended, 7, "{view:#}");
    let foreign_entries = [("foreign_entry", false); 4];
    doctor(&host, &[], 1, &foreign_entries);
    assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(vms.join("notes.txt")).unwrap(), "mine");
    assert!(foreign.try_wait().unwrap().is_none(), "a foreign process is not touched");
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    fs::remove_file(vms.join(vm_id(72))).unwrap();
    fs::remove_file(vms.join("notes.txt")).unwrap();
    fs::remove_dir(vms.join("lost+found")).unwrap();
    assert_eq!(fs::read_to_string(vms.join(vm_id(73)).join("thesis.txt")).unwrap(), "mine too");
    fs::remove_dir_all(vms.join(vm_id(73))).unwrap();
    doctor(&host, &[], 0, &[]);

    // The quarantine is emptied only of what is old, and only when that is asked for.
    let keep = doctor(&host, &["--fix", "--purge-quarantine-older-than", "1h"], 0, &[]);
    assert_eq!((&keep["purged"], kept.exists()), (&json!([]), true));
    let purged = until("a second to pass", || {
        let view =
            host.run(&["doctor", "--fix", "--purge-quarantine-older-than", "0s", "--output", "json"]).json();
        Some(view["purged"].as_array().unwrap().len()).filter(|purged| *purged > 0)
    });
    assert_eq!((purged, kept.exists()), (7, false));
    host.start();
    host.wait_for_vm(&dies, "failed");
}

/// Somebody else's QEMU, which even bears the UUID of a VM.
fn foreign_qemu(cwd: &Path, uuid: &str) -> std::process::Child {
    std::process::Command::new("qemu-system-x86_64")
        .args(["-uuid", uuid, "-M", "none", "-nodefaults", "-display", "none", "-S"])
        .current_dir(cwd)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_vm_that_was_deleted_and_lives_is_ended_and_does_not_come_back() {
    if !installed("qemu-system-x86_64") {
        return;
    }
    let mut host = Host::running("");
    let (id, bare) = (vm_id(4), vm_id(7));
    host.succeed(&host.create(&id, "ghost"));
    host.succeed(&host.create(&bare, "bare"));
    let (pid, bare_pid) = (host.vmm_pid(&id).unwrap(), host.vmm_pid(&bare).unwrap());
    // Somebody moves the directories away, so that the delete finds nothing, and brings one of them back.
    let aside = |id: &str| host.path(&format!("aside-{id}"));
    for id in [&id, &bare] {
        fs::rename(host.vm_dir(id), aside(id)).unwrap();
        host.succeed(&on("MicroVMDelete", id));
        fs::rename(aside(id), host.vm_dir(id)).unwrap();
    }
    fs::remove_dir_all(host.vm_dir(&bare)).unwrap();
    host.stop();

    let kinds = [("deleted_vm", true), ("orphan_process", true)];
    let view = doctor(&host, &[], 1, &kinds);
    assert_eq!(item(&view, "deleted_vm")["pid"], json!(pid));
    assert_eq!(item(&view, "orphan_process")["pid"], json!(bare_pid));
    let explained = host.run(&["explain", "vm", &id, "--output", "json"]).json();
    assert!(
        explained["next"].as_str().unwrap().contains("although the journal says that it was deleted"),
        "{explained:#}"
    );
    assert!(alive(pid) && alive(bare_pid));
    let view = doctor(&host, &["--fix"], 0, &kinds);
    let kept = PathBuf::from(item(&view, "deleted_vm")["kept_as"].as_str().unwrap());
    assert!(kept.join("console.log").exists() && kept.join("spec.json").exists());
    assert!(!alive(pid) && !alive(bare_pid));
    doctor(&host, &[], 0, &[]);
    host.start();
    assert_eq!(host.get("/v1/vms")["items"], json!([]));
    host.assert_nothing_left();
}

#[test]
fn another_life_of_a_deleted_vm_is_left_to_the_agent() {
    if !installed("qemu-system-x86_64") {
        return;
    }
    let mut host = Host::running("");
    let id = vm_id(8);
    host.succeed(&host.create(&id, "phoenix"));
    host.succeed(&on("MicroVMDelete", &id));
    host.stop();
    // A backup of the journal that is brought back knows nothing of what came after it.
    let (journal, backup) = (host.state_dir().join("journal"), host.path("backup"));
    copy(&journal, &backup);
    host.start();
    host.succeed(&host.create(&id, "phoenix"));
    let pid = host.vmm_pid(&id).unwrap();
    host.stop();
    fs::remove_dir_all(&journal).unwrap();
    copy(&backup, &journal);
    doctor(&host, &["--fix"], 1, &[("unrecorded_vm", false)]);
    assert!(alive(pid));
    host.start();
    assert_eq!(host.vm(&id)["pid"], json!(pid));
}

#[test]
fn a_lock_that_somebody_else_holds_is_respected() {
    let host = stopped("");
    let directory = host.vm_dir(&vm_id(80));
    fs::create_dir_all(&directory).unwrap();
    let lock = nkudo_host::lock::LockedFile::try_exclusive(&directory.join("lock")).unwrap().unwrap();
    let mut holder = std::process::Command::new("sleep").arg("1000").stdin(lock.into_file()).spawn().unwrap();
    let kinds = [("foreign_holder", false), ("unrecorded_vm", false)];
    let view = doctor(&host, &["--fix"], 1, &kinds);
    assert_eq!(item(&view, "foreign_holder")["pid"], json!(holder.id()));
    assert!(directory.exists() && holder.try_wait().unwrap().is_none());
    holder.kill().unwrap();
    holder.wait().unwrap();
    doctor(&host, &["--fix"], 0, &[("orphan_directory", true)]);
    doctor(&host, &[], 0, &[]);
}

#[test]
fn a_vm_that_the_journal_never_heard_of_is_left_to_the_agent() {
    if !installed("qemu-system-x86_64") {
        return;
    }
    let mut host = Host::running("");
    let id = vm_id(5);
    host.succeed(&host.create(&id, "lost"));
    let pid = host.vmm_pid(&id).unwrap();
    host.stop();
    fs::remove_dir_all(host.state_dir().join("journal")).unwrap();
    let view = doctor(&host, &[], 1, &[("unrecorded_vm", false)]);
    assert!(item(&view, "unrecorded_vm")["remedy"].as_str().unwrap().contains("start the agent"), "{view:#}");
    doctor(&host, &["--fix"], 1, &[("unrecorded_vm", false)]);
    assert!(alive(pid));
    host.start();
    assert_eq!(host.vm(&id)["pid"], json!(pid));
    // What the state file told of before the loss is kept.
    doctor(&host, &[], 1, &[("set_aside", true)]);
    // Its directory is taken away under it: only the process is left, and the daemon knows whose it is.
    fs::remove_dir_all(host.vm_dir(&id)).unwrap();
    let view = doctor(&host, &[], 1, &[("missing_directory", false), ("set_aside", true)]);
    assert_eq!(item(&view, "missing_directory")["pid"], json!(pid));
    host.succeed(&on("MicroVMDelete", &id));
    assert!(!alive(pid));
    doctor(&host, &[], 1, &[("set_aside", true)]);
}

#[test]
fn a_kill_in_the_midst_of_mending_loses_nothing() {
    let host = stopped("");
    let vms = host.state_dir().join("vms");
    let orphans: u32 = 400;
    for number in 0..orphans {
        let orphan = vms.join(vm_id(1000 + number));
        fs::create_dir_all(&orphan).unwrap();
        fs::write(orphan.join("lock"), "").unwrap();
        fs::write(orphan.join("disk"), format!("disk {number}")).unwrap();
    }
    let quarantine = host.state_dir().join("quarantine");
    let mut fixing =
        host.command().args(["doctor", "--fix"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("some to be moved", || (fs::read_dir(&quarantine).ok()?.count() > 20).then_some(()));
    fixing.kill().unwrap();
    fixing.wait().unwrap();
    let left = fs::read_dir(&vms).unwrap().count();
    assert!(left > 0 && left < orphans as usize, "{left} are left: the kill came at the wrong moment");
    let ran = host.run(&["doctor", "--fix", "--output", "json"]);
    assert_eq!((ran.code(), ran.json()["items"].as_array().unwrap().len()), (0, left));
    doctor(&host, &[], 0, &[]);
    let mut disks: Vec<String> = tree(&quarantine)
        .into_iter()
        .filter(|(path, _)| path.ends_with("disk"))
        .map(|(_, holds)| holds)
        .collect();
    disks.sort_unstable();
    let mut expected: Vec<String> = (0..orphans).map(|number| format!("disk {number}")).collect();
    expected.sort_unstable();
    assert_eq!(disks, expected, "each is kept once, whole");
}

#[test]
fn what_an_agent_began_and_did_not_end_is_told_until_it_goes_on() {
    let mut host = Host::running("[providers]\nsimulated = true\n");
    let create = host.create_simulated(&vm_id(6), "slow", &json!({"simulated.boot_ms": "600000"}));
    let mut create = create;
    create["action_id"] = json!("create-slow");
    assert_eq!(host.request("POST", "/v1/actions", &create.to_string()).status, 202);
    until("its start", || (host.get("/v1/actions/create-slow")["status"] == "running").then_some(()));
    doctor(&host, &[], 0, &[]);
    host.kill_9();
    let kinds = [("interrupted_action", false), ("leftover_socket", true), ("stale_address", true)];
    let view = doctor(&host, &[], 1, &kinds);
    assert!(item(&view, "interrupted_action")["what"].as_str().unwrap().contains("create-slow"), "{view:#}");
    doctor(&host, &["--fix"], 1, &kinds);
    host.start();
    doctor(&host, &[], 0, &[]);
}

#[test]
fn a_damaged_journal_is_left_to_the_agent_and_what_it_sets_aside_is_kept() {
    let mut host = Host::running("[providers]\nsimulated = true\n");
    host.succeed(&host.create_simulated(&vm_id(9), "kept", &json!({})));
    host.stop();
    let journal = host.state_dir().join("journal");
    let mut segments: Vec<PathBuf> =
        fs::read_dir(&journal).unwrap().flatten().map(|entry| entry.path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    let last = segments.iter().max().unwrap();
    let mut bytes = fs::read(last).unwrap();
    let end = bytes.len();
    bytes[end - 5] ^= 0xff;
    fs::write(last, bytes).unwrap();
    let before = tree(&journal);
    let view: Value = host.run(&["doctor", "--fix", "--output", "json"]).json();
    let damaged = item(&view, "damaged_journal");
    assert_eq!((&damaged["fixable"], view["ok"].as_bool()), (&json!(false), Some(false)), "{view:#}");
    assert_eq!(tree(&journal), before, "what is damaged is the agent's to set aside");
    host.start();
    host.stop();
    let view = host.run(&["doctor", "--fix", "--output", "json"]).json();
    let items = view["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|item| item["kind"] == "set_aside"), "{view:#}");
    doctor(&host, &[], 0, &[]);
    host.start();
    assert_eq!(host.vm(&vm_id(9))["state"], "running");
}

#[test]
fn keys_that_others_may_read_are_closed() {
    let host = stopped("");
    let identity = host.state_dir().join("identity");
    fs::create_dir_all(identity.join("2")).unwrap();
    fs::create_dir(identity.join("1")).unwrap();
    age(&identity.join("1"));
    std::os::unix::fs::symlink("2", identity.join("current")).unwrap();
    let key = identity.join("2/agent.key");
    fs::write(&key, "key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let link = identity.join("2/agent.pem");
    std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
    let kinds = [("former_identity", true), ("open_mode", true)];
    doctor(&host, &[], 1, &kinds);
    doctor(&host, &["--fix"], 0, &kinds);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    doctor(&host, &[], 0, &[]);
    fs::remove_dir_all(identity.join("2")).unwrap();
    doctor(&host, &["--fix"], 1, &[("no_identity", false)]);
}

#[test]
fn what_cannot_be_asked_of_the_doctor_is_refused() {
    let host = Host::new();
    let check = |args: &[&str], code: i32, sentence: &str| {
        let ran = host.run(&[&["doctor"], args].concat());
        assert_eq!(ran.code(), code, "{args:?}");
        assert!(ran.stderr().contains(sentence), "{args:?}: {}", ran.stderr());
    };
    check(&[], 1, "is not there");
    check(&["--fix"], 1, "is not there");
    assert!(!host.state_dir().exists());
    check(&["--purge-quarantine-older-than", "1d"], 2, "--fix");
    for wrong in ["soon", "", "-1d", "99999999999999999999d"] {
        check(&["--fix", &format!("--purge-quarantine-older-than={wrong}")], 2, "no duration");
    }
    fs::create_dir(host.state_dir()).unwrap();
    std::os::unix::fs::symlink("/tmp", host.state_dir().join("quarantine")).unwrap();
    check(&["--fix"], 1, "is no directory of ours");
}
