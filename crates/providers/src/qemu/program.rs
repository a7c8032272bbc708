//! The QEMU that is installed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::process::Command;

use super::Qemu;
use crate::error::ProviderError;

/// How long QEMU may take to tell its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(5);
const REMEDY: &str = "Debian and Ubuntu: apt install qemu-system-x86";

/// A QEMU and what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    /// An absolute path.
    pub(super) program: PathBuf,
    pub(super) version: String,
    stamp: Stamp,
}

/// Changes when another QEMU is installed at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified_s: i64,
}

impl Qemu {
    /// The QEMU to use, asked for its version once and again when it is another.
    pub(super) async fn installed(&self) -> Result<Installed, ProviderError> {
        let missing = || missing(&self.config.program);
        let (program, stamp) = locate(&self.config.program).ok_or_else(missing)?;
        let known = self.installed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.program == program && known.stamp == stamp) {
            return Ok(known);
        }
        let version = version(&program).await.ok_or_else(missing)?;
        let installed = Installed { program, version, stamp };
        *self.installed.lock().unwrap_or_else(PoisonError::into_inner) = Some(installed.clone());
        Ok(installed)
    }
}

pub(super) fn missing(program: &Path) -> ProviderError {
    ProviderError::HypervisorMissing { program: program.display().to_string(), remedy: REMEDY }
}

/// A bare name is looked up as execvp(3) does. The path is absolute, since QEMU is started in another directory.
fn locate(program: &Path) -> Option<(PathBuf, Stamp)> {
    let candidates = if program.components().count() > 1 {
        vec![program.to_owned()]
    } else {
        let directories = std::env::var_os("PATH")?;
        std::env::split_paths(&directories).map(|directory| directory.join(program)).collect()
    };
    candidates.into_iter().find_map(|path| {
        let stamp = stamp(&path)?;
        Some((std::path::absolute(path).ok()?, stamp))
    })
}

/// None for what cannot be executed.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    let executable = metadata.is_file() && metadata.mode() & 0o111 != 0;
    executable.then(|| Stamp { inode: metadata.ino(), length: metadata.len(), modified_s: metadata.mtime() })
}

/// The word after `version` in the first line of `--version`.
async fn version(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_DEADLINE, command.output()).await.ok()?.ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout)).map(str::to_owned)
}

fn version_in(text: &str) -> Option<&str> {
    text.lines().next()?.split_ascii_whitespace().skip_while(|word| *word != "version").nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_word_after_version() {
        let check = |text, expected| assert_eq!(version_in(text), expected, "{text}");
        check(
            "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003",
            Some("7.2.22"),
        );
        check("QEMU emulator version 10.0.2", Some("10.0.2"));
        check("GNU bash", None);
        check("", None);
    }
}
