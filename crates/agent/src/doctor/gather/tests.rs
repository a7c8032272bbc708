use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// Later than any file of these tests was written.
const LATER_MS: i64 = i64::MAX / 2;

fn look(state_dir: &Path, named: &[PathBuf]) -> Host {
    host(state_dir, None, &named.iter().cloned().collect(), false, LATER_MS).unwrap()
}

#[test]
fn what_was_not_finished_is_ours_by_its_whole_name_and_by_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = dir.path().canonicalize().unwrap();
    let mut ours = vec![
        ".check-01890a5d-ac96-774b-bcce-000000000001",
        ".write-probe",
        "audit.key.new",
        "audit.key.pub.new",
        "edge-agent.addr.json.new",
        "edge-state.json.new",
        "identity/3/agent.key.new",
        "journal/00000000000000000007.seg.new",
        "journal/loss.new",
    ];
    let others = [
        "web.new",
        "web.tmp",
        ".check-web",
        "identity/web.new",
        "identity/3/web.new",
        "journal/web.new",
        "journal/7.seg.new",
        "journal/web.seg.new",
    ];
    for parent in ["identity/3", "journal", "journal/00000000000000000009.seg.new"] {
        fs::create_dir_all(state_dir.join(parent)).unwrap();
    }
    for name in ours.iter().chain(&others) {
        fs::write(state_dir.join(name), "").unwrap();
    }
    symlink("3", state_dir.join("identity/current")).unwrap();
    symlink("4", state_dir.join("identity/current.new")).unwrap();
    symlink("web.new", state_dir.join("journal.boot.new")).unwrap();
    ours.push("identity/current.new");
    let files = look(&state_dir, &[]).files.into_iter();
    let unfinished = files.filter(|file| matches!(file.what, StateFileKind::Unfinished { .. }));
    let found: BTreeSet<PathBuf> = unfinished.map(|file| file.path).collect();
    assert_eq!(found, ours.iter().map(|name| state_dir.join(name)).collect());
}

#[test]
fn the_key_of_the_audit_log_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = dir.path().canonicalize().unwrap();
    let key = state_dir.join("audit.key");
    let check = |mode: u32, expected: &[StateFile]| {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(look(&state_dir, &[]).files, expected, "{mode:o}");
    };
    fs::write(&key, "key").unwrap();
    check(0o600, &[]);
    let open = StateFileKind::Mode { mode: 0o640, wanted: 0o7700 };
    check(0o640, &[StateFile { path: key.clone(), what: open }]);
    // A link has no mode of its own, and is not followed.
    fs::rename(&key, state_dir.join("elsewhere")).unwrap();
    symlink("elsewhere", &key).unwrap();
    assert_eq!(look(&state_dir, &[]).files, []);
}

#[test]
fn what_vms_are_made_of_is_known_by_its_own_place() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().canonicalize().unwrap();
    let (state_dir, disk, gone) = (own.join("state"), own.join("state/audit.key.new"), own.join("gone"));
    fs::create_dir(&state_dir).unwrap();
    fs::write(&disk, "a disk").unwrap();
    let (other_name, link) = (own.join("other"), own.join("web.qcow2"));
    symlink(&state_dir, &other_name).unwrap();
    symlink(&disk, &link).unwrap();
    let found = look(&other_name, &[link.clone(), gone.clone()]);
    assert_eq!(found.used, BTreeSet::from([disk.clone(), link, gone]));
    assert!(found.files.iter().any(|file| file.path == disk), "{:?}", found.files);
}
