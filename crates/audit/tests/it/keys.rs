//! The key and its public half.

use std::path::Path;

use nkudo_audit::{AuditError, HostKey, KeyError, PublicKey};
use nkudo_journal::{Disk, DiskFile as _, SimulatedDisk, atomic_replace};

use crate::logs::{disk_with_key, files, key, key_path, public, several_files, try_open};

const PUBLIC: &str = "/state/audit.key.pub";

fn load(disk: &SimulatedDisk) -> Result<HostKey, KeyError> {
    HostKey::load_or_create(disk, key_path())
}

#[test]
fn a_key_is_made_once_and_its_public_half_stands_beside_it() {
    let disk = disk_with_key();
    let made = public(&disk);
    assert_eq!(public(&disk), made);
    assert_eq!(PublicKey::read(&disk, Path::new(PUBLIC)).expect("readable"), made);
    assert_eq!(made.to_string().parse(), Ok(made));
    assert_eq!(made.to_string().len(), 64);
    let another = public(&disk_with_key());
    assert_ne!(another, made);
    "no key".parse::<PublicKey>().expect_err("no key");
}

#[test]
fn a_key_does_not_print() {
    let disk = disk_with_key();
    let key = key(&disk);
    let printed = format!("{key:?} {key:#?}");
    let secret = disk.read_at(key_path(), 0, 1000).expect("the file");
    // The seed of 32 bytes is somewhere in the file: no eight bytes of what is not public are printed in any usual way.
    let public = PublicKey::read(&disk, Path::new(PUBLIC)).expect("readable").to_string();
    for bytes in secret[..48].windows(8) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(public.contains(&hex) || !printed.contains(&hex), "{printed}");
        assert!(!printed.contains(&format!("{bytes:?}")), "{printed}");
    }
    assert!(printed.contains(&public));
}

#[test]
fn making_a_key_cut_off_at_each_step_leaves_one_or_none() {
    let mut step = 0;
    loop {
        let disk = SimulatedDisk::new();
        disk.fail(step..u64::MAX);
        let made = load(&disk).ok().map(|key| key.public());
        for after in [disk.crash(), disk.kill()] {
            let found = load(&after).expect("it is made anew or found whole").public();
            assert!(
                made.is_none_or(|made| made == found),
                "step {step}: a key that was given out is durable"
            );
            assert_eq!(PublicKey::read(&after.crash(), Path::new(PUBLIC)).expect("readable"), found);
        }
        if made.is_some() {
            break;
        }
        step += 1;
    }
    assert!(step > 6, "{step} steps");
}

#[test]
fn each_byte_of_a_key_flipped_in_turn() {
    let disk = disk_with_key();
    let whole = disk.read_at(key_path(), 0, 1000).expect("the file");
    for offset in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[offset] ^= 1;
        atomic_replace(&disk, key_path(), &damaged).expect("replaced");
        let error = load(&disk).expect_err("damaged");
        assert!(matches!(error, KeyError::NotAKey(_)), "{offset}: {error}");
    }
    for length in 0..whole.len() {
        atomic_replace(&disk, key_path(), &whole[..length]).expect("replaced");
        assert!(matches!(load(&disk), Err(KeyError::NotAKey(_))), "{length}");
    }
}

#[test]
fn halves_that_do_not_belong_together_are_told() {
    let check_told = |change: fn(&SimulatedDisk), expected: &str| {
        let disk = disk_with_key();
        change(&disk);
        let error = load(&disk).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    check_told(
        |disk| disk.remove(key_path()).expect("removed"),
        "is gone, but /state/audit.key.pub is there",
    );
    let other = |disk: &SimulatedDisk| {
        let other = format!("{}\n", public(&disk_with_key()));
        atomic_replace(disk, Path::new(PUBLIC), other.as_bytes()).expect("replaced");
    };
    check_told(other, "does not belong to /state/audit.key");
    check_told(
        |disk| atomic_replace(disk, Path::new(PUBLIC), b"none").expect("replaced"),
        "does not belong to",
    );
    // A public half that is missing is only written again.
    let disk = disk_with_key();
    disk.remove(Path::new(PUBLIC)).expect("removed");
    let made = load(&disk).expect("a key").public();
    assert_eq!(PublicKey::read(&disk, Path::new(PUBLIC)).expect("readable"), made);
}

#[test]
fn a_public_key_that_is_none_is_told() {
    let disk = disk_with_key();
    let error = PublicKey::read(&disk, Path::new("/state/none.pub")).expect_err("no file");
    assert_eq!(error.to_string(), "cannot read /state/none.pub");
    let mut file = disk.create_new(Path::new("/state/none.pub")).expect("a file");
    file.append(b"ssh-ed25519 AAAA").expect("written");
    let error = PublicKey::read(&disk, Path::new("/state/none.pub")).expect_err("no key");
    assert!(matches!(error, KeyError::NotPublic(_)), "{error}");
}

#[test]
fn a_log_is_not_continued_with_another_key() {
    let (disk, _) = several_files();
    let before = files(&disk);
    let found = public(&disk);
    disk.remove(key_path()).expect("removed");
    disk.remove(Path::new(PUBLIC)).expect("removed");
    let given = key(&disk).public();
    let error = try_open(&disk).expect_err("another key");
    assert!(matches!(error, AuditError::OtherKey { found: f, given: g, .. } if f == found && g == given));
    assert!(error.to_string().contains("put that key back, or move the log elsewhere"), "{error}");
    assert_eq!(files(&disk), before, "nothing was touched");
}
