//! What is found on the host. Nothing is altered and no link is followed.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use nkudo_host::{disk, lock};
use nkudo_providers::qemu::inventory::inventory;
use nkudo_providers::simulated::Simulated;

use super::DoctorError;
use super::judge::ABANDONED_AFTER_MS;
use super::picture::{Host, StateFile, StateFileKind};
use crate::addr_file::ADDR_FILE;
use crate::identity::{FILES, IdentityDir, NEXT};

/// Most entries of one directory that are looked at.
const ENTRIES_MAX: usize = 10_000;
/// The key that signs the audit log.
const AUDIT_KEY: &str = "audit.key";
/// Files of the state directory that are written under another name first.
const REPLACED: &[&str] = &["edge-state.json", "journal.boot", ADDR_FILE, AUDIT_KEY, "audit.key.pub"];
/// Ends that other name.
const UNFINISHED: &str = ".new";
/// The permissions that others have.
const OTHERS: u32 = 0o077;
/// The permissions with which others alter something.
const OTHERS_WRITE: u32 = 0o022;
/// All permissions of a file.
const PERMISSIONS: u32 = 0o7777;

/// Of this state directory; simulated VMs are looked for where a file of their deeds is named. `named` are the files that
/// the journal's VMs are made of.
pub(super) fn host(
    state_dir: &Path,
    simulated_file: Option<&Path>,
    named: &BTreeSet<PathBuf>,
    daemon_running: bool,
    now_ms: i64,
) -> Result<Host, DoctorError> {
    // What the VMs are made of is compared with what is found, whatever links lead to either.
    let state_dir = &resolved(state_dir);
    let vms_dir = state_dir.join("vms");
    let vms = inventory(&vms_dir, now_ms).map_err(|source| DoctorError::Look { path: vms_dir, source })?;
    let simulated = simulated_file.map(Simulated::vms_in).transpose()?;
    Ok(Host {
        state_dir: state_dir.to_owned(),
        daemon_running,
        vms,
        simulated: simulated.map(|vm_ids| vm_ids.into_iter().collect()),
        files: state_files(state_dir, daemon_running, now_ms),
        used: named.iter().map(|path| resolved(path)).chain(named.iter().cloned()).collect(),
        available_bytes: disk::space(state_dir).ok().map(|space| space.available_bytes),
        now_ms,
    })
}

fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn state_files(state_dir: &Path, daemon_running: bool, now_ms: i64) -> Vec<StateFile> {
    let mut found = Vec::new();
    let told = |path: PathBuf, what| StateFile { path, what };
    if let Ok(metadata) = fs::symlink_metadata(state_dir)
        && metadata.mode() & OTHERS_WRITE != 0
    {
        found.push(told(state_dir.to_owned(), mode(&metadata)));
    }
    for (path, name, metadata) in entries(state_dir, &mut found) {
        let is_socket = name == crate::SOCKET_NAME && metadata.file_type().is_socket();
        let is_private = is_socket || (name == AUDIT_KEY && metadata.is_file());
        let what = if name == ADDR_FILE && !daemon_running {
            Some(StateFileKind::StaleAddress)
        } else if is_socket && !daemon_running {
            Some(StateFileKind::LeftoverSocket)
        } else if is_private && metadata.mode() & OTHERS != 0 {
            Some(mode(&metadata))
        } else if name.starts_with("edge-state.corrupt-") || name.starts_with("edge-state.before-loss-") {
            Some(StateFileKind::SetAside { bytes: metadata.len() })
        } else {
            let is_ours = is_unfinished(&name, |whole| REPLACED.contains(&whole))
                || name == ".write-probe"
                || name.strip_prefix(".check-").is_some_and(|id| id.parse::<uuid::Uuid>().is_ok());
            abandoned(is_ours, &metadata, now_ms)
        };
        found.extend(what.map(|what| told(path, what)));
    }
    for (path, name, metadata) in entries(&state_dir.join("journal"), &mut found) {
        let set_aside =
            name.contains(".corrupt-").then_some(StateFileKind::SetAside { bytes: metadata.len() });
        let is_ours = is_unfinished(&name, |whole| whole == "loss" || is_segment(whole));
        let what = set_aside.or_else(|| abandoned(is_ours, &metadata, now_ms));
        found.extend(what.map(|what| told(path, what)));
    }
    identities(state_dir, now_ms, &mut found);
    found
}

fn identities(state_dir: &Path, now_ms: i64, found: &mut Vec<StateFile>) {
    let dir = state_dir.join("identity");
    // Somebody enrols or renews at this moment.
    if lock::is_held(&dir.join("lock")).unwrap_or(true) {
        return;
    }
    let told = |path: PathBuf, what| StateFile { path, what };
    let current = IdentityDir::of(state_dir).generation();
    if let Some(generation) = &current
        && fs::symlink_metadata(dir.join(generation)).is_err()
    {
        found.push(told(dir.join("current"), StateFileKind::NoIdentity));
    }
    for (path, name, metadata) in entries(&dir, found) {
        let is_identity = metadata.is_dir() && name.parse::<u64>().is_ok();
        if !is_identity {
            // It takes the place of a link, and is one.
            let is_ours = name == NEXT && metadata.is_symlink() && is_old(&metadata, now_ms);
            let what = is_ours.then(|| StateFileKind::Unfinished { age_ms: age_ms(&metadata, now_ms) });
            found.extend(what.map(|what| told(path, what)));
        } else if current.as_deref() != Some(Path::new(&name)) && is_old(&metadata, now_ms) {
            found.push(told(path, StateFileKind::FormerIdentity));
        } else {
            for (path, name, metadata) in entries(&path, found) {
                let open = metadata.is_file() && metadata.mode() & OTHERS != 0;
                let is_ours = is_unfinished(&name, |whole| FILES.contains(&whole));
                let what = abandoned(is_ours, &metadata, now_ms).or_else(|| open.then(|| mode(&metadata)));
                found.extend(what.map(|what| told(path, what)));
            }
        }
    }
}

/// What is in a directory, in the order of the names. Nothing of one that is not there, or is a link. What is beyond the
/// bound is told.
fn entries(dir: &Path, found: &mut Vec<StateFile>) -> Vec<(PathBuf, String, Metadata)> {
    let is_dir = fs::symlink_metadata(dir).is_ok_and(|metadata| metadata.is_dir());
    let listed = is_dir.then(|| fs::read_dir(dir).ok()).flatten();
    let mut paths: Vec<PathBuf> = listed.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    let beyond = paths.len().saturating_sub(ENTRIES_MAX);
    if beyond > 0 {
        found.push(StateFile { path: dir.to_owned(), what: StateFileKind::Beyond { entries: beyond } });
        paths.truncate(ENTRIES_MAX);
    }
    let look = |path: PathBuf| {
        let metadata = fs::symlink_metadata(&path).ok()?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((path, name, metadata))
    };
    paths.into_iter().filter_map(look).collect()
}

/// Whether it is the name of something that is being written, of which `is_ours` knows the whole name.
fn is_unfinished(name: &str, is_ours: impl Fn(&str) -> bool) -> bool {
    name.strip_suffix(UNFINISHED).is_some_and(is_ours)
}

/// Whether a segment of the journal has this name.
fn is_segment(name: &str) -> bool {
    let number = name.strip_suffix(".seg");
    number.is_some_and(|number| number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A file of ours that was not finished and is nobody's any more.
fn abandoned(is_ours: bool, metadata: &Metadata, now_ms: i64) -> Option<StateFileKind> {
    let is_abandoned = is_ours && metadata.is_file() && is_old(metadata, now_ms);
    is_abandoned.then(|| StateFileKind::Unfinished { age_ms: age_ms(metadata, now_ms) })
}

fn is_old(metadata: &Metadata, now_ms: i64) -> bool {
    age_ms(metadata, now_ms) > ABANDONED_AFTER_MS
}

fn age_ms(metadata: &Metadata, now_ms: i64) -> u64 {
    let modified =
        metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let modified_ms = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
    u64::try_from(now_ms.saturating_sub(modified_ms)).unwrap_or(0)
}

fn mode(metadata: &Metadata) -> StateFileKind {
    StateFileKind::Mode { mode: metadata.mode() & PERMISSIONS, wanted: !OTHERS & PERMISSIONS }
}

#[cfg(test)]
mod tests;
