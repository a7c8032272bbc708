//! Where what is put aside is kept: `STATE_DIR/quarantine/<time>-<what>-<n>/`, with `finding.json`, which says where it
//! was and why it was taken from there.
//!
//! **Invariant:** a thing is in its place or in the quarantine, whole, also after a crash: it is moved by one rename.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_api::time::WallTime;
use nkudo_host::file::{sync_dir, write_private};
use serde_json::json;

use super::DoctorError;
use super::picture::Finding;

/// The name of the directory in the state directory.
const NAME: &str = "quarantine";
/// The name of the file that says what it was.
const LABEL: &str = "finding.json";

#[derive(Debug)]
pub(super) struct Quarantine {
    path: PathBuf,
}

impl Quarantine {
    /// Of this state directory; made when it is needed.
    pub(super) fn of(state_dir: &Path) -> Result<Self, DoctorError> {
        let path = state_dir.join(NAME);
        match fs::symlink_metadata(&path) {
            Ok(there) if !there.is_dir() => Err(DoctorError::ForeignQuarantine(path)),
            Ok(_) | Err(_) => Ok(Self { path }),
        }
    }

    /// Moves what stands at `from` here and tells where it is.
    pub(super) fn take(&mut self, from: &Path, finding: &Finding, now_ms: i64) -> io::Result<PathBuf> {
        let name = from.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.recursive(true).create(&self.path)?;
        let place = self.free_place(finding.kind, now_ms);
        private.recursive(false).create(&place)?;
        let label = json!({
            "from": from.display().to_string(),
            "kind": finding.kind,
            "what": finding.what,
            "evidence": finding.evidence,
            "taken_at": WallTime(now_ms),
        });
        write_private(&place.join(LABEL), label.to_string().as_bytes())?;
        sync_dir(&self.path)?;
        let kept = place.join(name);
        fs::rename(from, &kept)?;
        sync_dir(&place)?;
        sync_dir(from.parent().unwrap_or(from))?;
        Ok(kept)
    }

    /// Deletes what has been here for longer than `age`, and tells the names. What has no name of ours stays.
    pub(super) fn purge(&self, age: Duration, now_ms: i64) -> Result<Vec<String>, DoctorError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DoctorError::Purge { path, source }
        };
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(&self.path))?,
        };
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let mut purged = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed(&self.path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let taken_ms = taken_at_ms(&name).filter(|_| is_directory);
            if taken_ms.is_some_and(|taken_ms| now_ms.saturating_sub(taken_ms) > age_ms) {
                fs::remove_dir_all(entry.path()).map_err(failed(&entry.path()))?;
                purged.push(name);
            }
        }
        purged.sort_unstable();
        Ok(purged)
    }

    fn free_place(&self, kind: &str, now_ms: i64) -> PathBuf {
        let place = |number: u64| self.path.join(format!("{}-{kind}-{number}", WallTime(now_ms)));
        let number = (1..).find(|number| fs::symlink_metadata(place(*number)).is_err()).unwrap_or_default();
        place(number)
    }
}

fn taken_at_ms(name: &str) -> Option<i64> {
    let (time, _) = name.split_once("Z-")?;
    format!("{time}Z").parse().ok().map(|WallTime(at_ms)| at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding {
            kind: "orphan_directory",
            what: "what".to_owned(),
            vm_id: None,
            path: None,
            pid: None,
            evidence: "evidence".to_owned(),
            remedy: String::new(),
            fix: None,
        }
    }

    #[test]
    fn what_is_taken_is_kept_as_it_is_until_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, from) = (dir.path().join("outside"), dir.path().join("vms/x"));
        fs::create_dir_all(&from).unwrap();
        fs::write(&outside, "kept").unwrap();
        fs::write(from.join("disk"), [0, 159, 7]).unwrap();
        std::os::unix::fs::symlink(&outside, from.join("link")).unwrap();
        let mut quarantine = Quarantine::of(dir.path()).unwrap();
        let first = quarantine.take(&from, &finding(), 1_000).unwrap();
        assert_eq!(fs::read(first.join("disk")).unwrap(), [0, 159, 7]);
        assert_eq!(fs::read_link(first.join("link")).unwrap(), outside);
        let label = fs::read_to_string(first.parent().unwrap().join(LABEL)).unwrap();
        assert!(label.contains("vms/x") && !from.exists(), "{label}");
        fs::create_dir(&from).unwrap();
        let second = quarantine.take(&from, &finding(), 1_000).unwrap();
        assert_ne!(first, second);
        fs::create_dir(dir.path().join("quarantine/mine")).unwrap();
        fs::write(dir.path().join("quarantine/1970-01-01T00:00:01.000Z-file"), "").unwrap();
        let second_long = Duration::from_secs(1);
        assert_eq!(quarantine.purge(second_long, 2_000).unwrap(), Vec::<String>::new());
        let names = quarantine.purge(second_long, 2_001).unwrap();
        let expected = [1, 2].map(|n| format!("1970-01-01T00:00:01.000Z-orphan_directory-{n}"));
        assert_eq!(names, expected);
        assert_eq!(fs::read_dir(dir.path().join("quarantine")).unwrap().count(), 2, "what is not ours stays");
        assert_eq!(fs::read_to_string(outside).unwrap(), "kept");
    }

    #[test]
    fn a_quarantine_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/tmp", dir.path().join(NAME)).unwrap();
        let refused = Quarantine::of(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("move it away"), "{refused}");
    }
}
