//! A state directory on a disk that is full to the last byte: a small file system of its own, for root only.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::harness::{Host, on, until, vm_id};

/// A file system in memory as the state directory of a host, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn on(host: &Host, bytes: u64) -> Option<Self> {
        let path = host.state_dir();
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={bytes},mode=0700");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        let mounted = done.is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED: no small file system can be mounted here (root is needed)");
        }
        mounted.then_some(Self(path))
    }

    /// Takes the room that is left, to the last byte.
    fn fill(&self) {
        let mut file =
            std::fs::File::options().create(true).append(true).open(self.0.join("filler")).unwrap();
        let mut piece = 1 << 16;
        while piece > 0 {
            match file.write_all(&vec![1; piece]) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                    piece /= 2;
                }
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_daemon_that_was_killed_on_a_full_disk_starts_with_its_reserve_and_deletes() {
    let mut host = Host::new();
    let Some(disk) = Mounted::on(&host, 64 << 20) else { return };
    host.configure("[providers]\nsimulated = true\n");
    host.start();
    host.succeed(&host.create_simulated(&vm_id(1), "web-1", &json!({})));
    host.kill_9();
    disk.fill();
    host.start();
    until("health to tell of the full disk", || {
        let health = host.run(&["health", "--output", "json"]).json();
        let parts = health["components"].as_array()?;
        let sampler = parts.iter().find(|part| part["component"] == "sampler")?;
        (sampler["health"] == "degraded").then_some(())?;
        sampler["reason"].as_str()?.ends_with("only deletes are taken").then_some(())
    });
    assert_eq!(host.fail(&on("MicroVMPause", &vm_id(1))), "audit storage full");
    host.succeed(&on("MicroVMDelete", &vm_id(1)));
    assert_eq!(host.get("/v1/vms")["items"], json!([]));
    host.kill_9();
}
