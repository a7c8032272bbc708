//! Whether guests run on KVM, found by running the test guest.
//!
//! It runs in a directory of its own outside the state directory, so that a daemon's own trial is not disturbed, and so
//! that a state directory that is missing, full or not ours makes no difference.

use std::error::Error;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nkudo_providers::Provider as _;
use nkudo_providers::qemu::{Accel, Qemu, QemuConfig};

/// How the trial went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trial {
    Ran,
    DidNotRun,
    NotTried(String),
}

/// The version of this QEMU.
pub(super) async fn version(program: &Path) -> Result<String, String> {
    // Emulation needs no trial, so that nothing is written and the directory does not matter.
    let probe = qemu(program, Accel::Tcg, Path::new("/")).probe().await;
    probe.map(|probe| probe.version).map_err(|error| chain(&error))
}

/// Runs the test guest, on a processor that has virtualisation.
pub(super) async fn run(program: &Path) -> Trial {
    let scratch = match Scratch::make_in(&std::env::temp_dir()) {
        Ok(scratch) => scratch,
        Err(error) => return Trial::NotTried(format!("no directory could be made for it: {error}")),
    };
    match qemu(program, Accel::Auto, &scratch.0).probe().await {
        Ok(probe) if probe.acceleration == "kvm" => Trial::Ran,
        Ok(_) => Trial::DidNotRun,
        Err(error) => Trial::NotTried(chain(&error)),
    }
}

fn qemu(program: &Path, accel: Accel, directory: &Path) -> Qemu {
    Qemu::new(QemuConfig { program: program.to_owned(), accel, ..QemuConfig::in_state_dir(directory) })
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A directory that nobody else may enter, gone when this is dropped.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    /// Its name cannot be guessed and it must be new: in a directory that all may write to, somebody could have put a
    /// link there.
    fn make_in(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("edge-agent-check-{}", uuid::Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the directory of a trial could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_scratch_directory_is_ours_alone_and_goes_with_what_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let (scratch, other) =
            (Scratch::make_in(parent.path()).unwrap(), Scratch::make_in(parent.path()).unwrap());
        assert_ne!(scratch.0, other.0);
        assert_eq!(scratch.0.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::create_dir(scratch.0.join("cache")).unwrap();
        drop((scratch, other));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_program_that_is_not_qemu_has_no_version() {
        for program in ["/no/such/qemu", "/bin/true"] {
            let error = version(Path::new(program)).await.unwrap_err();
            assert!(error.contains(program), "{error}");
        }
    }
}
