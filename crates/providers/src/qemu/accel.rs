//! Whether KVM or software emulation runs the guests.
//!
//! `/dev/kvm` being there, opening and making VMs is no sign that guests run on it; so KVM is believed in after the
//! test guest spoke on it.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use nkudo_host::lock::LockedFile;
use nkudo_host::pidfd::{PidFd, Signal};
use nkudo_host::{clock, cpu, process, spawn};
use serde::{Deserialize, Serialize};

use super::command_line::Line;
use super::program::Installed;
use super::{Qemu, run_directory};
use crate::error::ProviderError;
use crate::guest;

/// How long the test guest may take to speak.
const TRIAL_DEADLINE: Duration = Duration::from_secs(5);
/// How often it is listened for.
const TRIAL_LOOK: Duration = Duration::from_millis(10);
/// How long a killed trial may take to be gone.
const TRIAL_END_DEADLINE: Duration = Duration::from_secs(5);
/// How long a dropped trial is waited for.
const DROP_PATIENCE_MS: u64 = 500;
/// On the command line of a trial, so that one that outlived us is known again.
const TRIAL_NAME: &str = "guest=kvm-trial";

/// What the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// KVM on a CPU with `vmx` or `svm`, once the test guest ran on it; else TCG.
    Auto,
    Kvm,
    Tcg,
}

/// A word that names no accelerator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an accelerator is one of: auto, kvm, tcg")]
pub struct UnknownAccel;

impl FromStr for Accel {
    type Err = UnknownAccel;

    fn from_str(text: &str) -> Result<Self, UnknownAccel> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            _ => Err(UnknownAccel),
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// What guests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    Kvm,
    Tcg,
}

impl Accelerator {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    pub(super) fn add_to(self, line: &mut Line) {
        match self {
            // With the capability a paravirtual KVM makes QEMU abort at a register it does not have.
            Self::Kvm => line.add("-accel", "kvm").add("-cpu", "host,-arch-capabilities"),
            // The buffer of translated code, in MiB: the default lets a process grow past 900 MB.
            Self::Tcg => line.add("-accel", "tcg,tb-size=32"),
        };
    }
}

/// What a trial found, and for which kernel and QEMU.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Finding {
    boot_id: String,
    qemu_version: String,
    works: bool,
}

impl Qemu {
    /// What guests run on here; tried at most once in the life of the program, of the boot, and of a QEMU version.
    pub(super) async fn accelerator(&self, installed: &Installed) -> Result<Accelerator, ProviderError> {
        let chosen = self.accelerator.get_or_try_init(|| async {
            match self.config.accel {
                Accel::Kvm => Ok(Accelerator::Kvm),
                Accel::Tcg => Ok(Accelerator::Tcg),
                Accel::Auto
                    if !has_virtualization(&cpu::info().map_or_else(|_| Vec::new(), |cpu| cpu.flags)) =>
                {
                    Ok(Accelerator::Tcg)
                }
                Accel::Auto => {
                    let works = tried(installed, &self.config.cache_dir).await?;
                    Ok(if works { Accelerator::Kvm } else { Accelerator::Tcg })
                }
            }
        });
        chosen.await.copied()
    }
}

fn has_virtualization(flags: &[String]) -> bool {
    flags.iter().any(|flag| flag == "vmx" || flag == "svm")
}

/// What was found before, else what a trial finds now.
async fn tried(installed: &Installed, cache_dir: &Path) -> Result<bool, ProviderError> {
    let failed = |source| run_directory::failed("cannot keep what is known of KVM in", cache_dir, source);
    let boot_id = clock::boot_id().map_err(failed)?;
    std::fs::create_dir_all(cache_dir).map_err(failed)?;
    let cache = cache_dir.join("kvm.json");
    let known = run_directory::read_json::<Finding>(&cache);
    if let Some(known) = known.filter(|k| k.boot_id == boot_id && k.qemu_version == installed.version) {
        return Ok(known.works);
    }
    let works = Trial { directory: &cache_dir.join("kvm-trial"), deadline: TRIAL_DEADLINE }
        .run(&installed.program)
        .await;
    let works = works.map_err(failed)?;
    tracing::info!(works, qemu_version = installed.version, "kvm was tried");
    let finding = Finding { boot_id, qemu_version: installed.version.clone(), works };
    run_directory::replace(&cache, &run_directory::json(&finding)).map_err(failed)?;
    Ok(works)
}

/// The test guest on KVM, in a directory of its own that is gone afterwards.
struct Trial<'a> {
    directory: &'a Path,
    deadline: Duration,
}

impl Trial<'_> {
    /// Whether the guest spoke in time.
    async fn run(&self, program: &Path) -> io::Result<bool> {
        self.end_previous().await;
        std::fs::create_dir_all(self.directory)?;
        std::fs::write(self.directory.join("kernel"), guest::TINY)?;
        let console = self.directory.join("console.log");
        run_directory::remove_file(&console)?;
        let lock = LockedFile::try_exclusive(&self.directory.join("lock"))?;
        let lock = lock.ok_or_else(|| io::Error::other("another trial is under way"))?;
        let log = std::fs::File::create(self.directory.join("vmm.log"))?;
        let spawned = spawn::detached(spawn::Detached {
            program,
            args: &arguments(),
            stdin: lock.into_file(),
            stdout: log.try_clone()?,
            stderr: log,
            cwd: self.directory,
            env: &[],
        });
        let mut child = Ended(spawned.map_err(io::Error::other)?);
        let spoke = tokio::time::timeout(self.deadline, async {
            loop {
                let ended = child.0.pidfd().has_exited();
                let spoke = std::fs::read(&console).is_ok_and(|said| said.starts_with(b"READY"));
                if spoke || ended {
                    return spoke;
                }
                tokio::time::sleep(TRIAL_LOOK).await;
            }
        });
        let spoke = spoke.await.unwrap_or(false);
        child.end().await;
        std::fs::remove_dir_all(self.directory)?;
        Ok(spoke)
    }

    /// A program that was killed during a trial left its QEMU behind.
    async fn end_previous(&self) {
        for pid in process::holders(&self.directory.join("lock")) {
            let is_trial =
                process::command_line(pid).is_some_and(|line| line.iter().any(|word| word == TRIAL_NAME));
            let Some(identity) = process::identity(pid).filter(|_| is_trial) else { continue };
            let Ok(pidfd) = PidFd::open(identity) else { continue };
            if pidfd.signal(Signal::Kill).is_ok() {
                drop(tokio::time::timeout(TRIAL_END_DEADLINE, pidfd.exited()).await);
            }
        }
    }
}

/// A child that does not outlive this value: a dropped trial leaves nothing running.
struct Ended(spawn::Child);

impl Ended {
    async fn end(&mut self) {
        self.kill();
        drop(tokio::time::timeout(TRIAL_END_DEADLINE, self.0.exited()).await);
    }

    fn kill(&self) {
        if let Err(error) = self.0.pidfd().signal(Signal::Kill) {
            tracing::debug!(%error, "a trial of kvm had ended before it was killed");
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if self.0.try_reap().is_some() {
            return;
        }
        self.kill();
        // A killed process is gone within milliseconds; not reaped now, it would stay a zombie.
        let ends_at_ms = clock::monotonic_ms() + DROP_PATIENCE_MS;
        while self.0.try_reap().is_none() && clock::monotonic_ms() < ends_at_ms {
            std::thread::yield_now();
        }
    }
}

fn arguments() -> Vec<std::ffi::OsString> {
    let mut line = Line::default();
    line.add("-name", TRIAL_NAME).add("-M", "microvm");
    Accelerator::Kvm.add_to(&mut line);
    line.add("-m", "16M").flag("-nodefaults").flag("-no-user-config").add("-display", "none");
    line.add("-serial", "file:console.log").add("-kernel", "kernel");
    line.0
}

#[cfg(test)]
mod tests;
