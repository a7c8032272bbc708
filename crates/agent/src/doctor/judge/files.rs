//! What does not fit among the files of the state directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::finding;
use crate::doctor::picture::{Finding, Fix, Host, StateFile, StateFileKind};
use crate::offline::FREE_BYTES_MIN;

pub(super) fn disk(host: &Host) -> Option<Finding> {
    let available = host.available_bytes.filter(|available| *available < FREE_BYTES_MIN)?;
    let evidence = format!("{available} bytes are free, and {FREE_BYTES_MIN} are wanted for the journal");
    let full = finding("disk_full", "the disk of the state directory is full", evidence);
    Some(
        full.at(&host.state_dir)
            .remedy("free some space on its disk; the agent only takes deletes meanwhile"),
    )
}

pub(super) fn damaged_journal(unread: &str) -> Finding {
    finding("damaged_journal", "the journal cannot be read to its end", unread)
        .remedy("start the agent: it keeps the damaged part beside the journal and goes on without it")
}

pub(super) fn state_file(file: &StateFile) -> Finding {
    let (path, name) = (&file.path, file.path.display());
    match &file.what {
        StateFileKind::StaleAddress => finding(
            "stale_address",
            "the agent does not run, and the file that tells where its metrics are is there",
            "nobody holds the lock of the state directory",
        )
        .at(path)
        .set_aside(),
        StateFileKind::LeftoverSocket => finding(
            "leftover_socket",
            "the agent does not run, and its socket is left",
            "nobody holds the lock of the state directory",
        )
        .at(path)
        .set_aside(),
        StateFileKind::Unfinished { age_ms } => unfinished(path, *age_ms),
        StateFileKind::SetAside { bytes } => finding(
            "set_aside",
            "something was damaged, and what it was is kept",
            format!("{name} has {bytes} bytes"),
        )
        .at(path)
        .set_aside()
        .remedy("read it if something is missed; `edge-agent doctor --fix` moves it to the quarantine"),
        StateFileKind::Mode { mode, wanted } => {
            let what = "others may read or write what is the agent's alone";
            let open = finding("open_mode", what, format!("its mode is {mode:04o}"));
            let fix = Fix::Chmod { path: path.clone(), mode: mode & wanted };
            Finding { fix: Some(fix), ..open.at(path) }
                .remedy("`edge-agent doctor --fix` closes it; when it is a key of the identity, enrol this host again: somebody may have read it")
        }
        StateFileKind::FormerIdentity => finding(
            "former_identity",
            "an identity is there that is not in force",
            "identity/current leads to another one",
        )
        .at(path)
        .set_aside(),
        StateFileKind::Beyond { entries } => beyond(path, *entries),
        StateFileKind::NoIdentity => {
            finding("no_identity", "the identity in force is not there", "identity/current leads nowhere")
                .at(path)
                .remedy("enrol this host again: `edge-agent enroll --force`")
        }
    }
}

pub(super) fn unfinished(path: &Path, age_ms: u64) -> Finding {
    finding("unfinished_file", "a file was being written and was not finished", aged(Some(age_ms)))
        .at(path)
        .set_aside()
}

/// What a VM is made of is not moved, whatever its name is and wherever it lies.
pub(super) fn unless_used(finding: Finding, used: &BTreeSet<PathBuf>) -> Finding {
    let moved = match &finding.fix {
        Some(Fix::SetAside(path)) => Some(path),
        Some(Fix::End { directory, .. }) => directory.as_ref(),
        Some(Fix::Chmod { .. }) | None => None,
    };
    let Some(file) = moved.and_then(|moved| used.iter().find(|file| file.starts_with(moved))) else {
        return finding;
    };
    let remedy =
        format!("a vm uses {}, so nothing is moved: give that file another place first", file.display());
    Finding { fix: None, ..finding }.remedy(remedy)
}

pub(super) fn aged(age_ms: Option<u64>) -> String {
    match age_ms {
        Some(age_ms) => format!("it was changed last {} s ago", age_ms / 1_000),
        None => "when it was changed last is not known".to_owned(),
    }
}

/// What was not looked at may be anything.
pub(super) fn beyond(directory: &Path, entries: usize) -> Finding {
    let what = format!("{entries} entries of a directory were not looked at");
    finding("not_looked_at", what, "it has more entries than are looked at in one directory")
        .at(directory)
        .remedy("mend what was found, or move away what is not the agent's, and look again")
}
