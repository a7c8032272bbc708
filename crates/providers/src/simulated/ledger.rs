//! The file of deeds, and the VMs that follow from it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_domain::{Exit, Observation, VmId, VmSpec};
use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::{Deed, State};
use crate::error::ProviderError;

/// All simulated VMs, and the file that they are written to.
#[derive(Debug)]
pub(super) struct Ledger {
    vms: BTreeMap<VmId, Vm>,
    /// None: in memory only.
    file: Option<(PathBuf, File)>,
}

/// One simulated VM.
#[derive(Debug, Clone)]
pub(super) struct Vm {
    pub(super) spec: VmSpec,
    state: State,
    /// Of the last boot, Unix time in milliseconds.
    booted_at_ms: i64,
    exit: Option<Exit>,
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    deed: Deed,
    vm_id: VmId,
    state: State,
    at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<VmSpec>,
}

impl Vm {
    /// How the VM lives, when it does.
    pub(super) fn living(&self, now_ms: i64) -> Option<State> {
        let dead = self.dies_in(now_ms).is_some_and(|left| left.is_zero());
        match self.state {
            State::Running | State::Paused if !dead => Some(self.state),
            State::Running | State::Paused | State::Stopped | State::Deleted => None,
        }
    }

    /// How long until it dies by itself, zero when it has; none when it will not.
    pub(super) fn dies_in(&self, now_ms: i64) -> Option<Duration> {
        let after = Faults::of(&self.spec).ok()?.exit_after()?;
        Some(after.saturating_sub(self.age(now_ms)))
    }

    fn age(&self, now_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(now_ms - self.booted_at_ms).unwrap_or(0))
    }

    fn is_silent(&self, now_ms: i64) -> bool {
        let after = Faults::of(&self.spec).ok().and_then(|faults| faults.silent_after());
        after.is_some_and(|after| self.age(now_ms) >= after)
    }

    pub(super) fn observation(&self, now_ms: i64) -> Observation {
        match (self.state, self.living(now_ms)) {
            (State::Deleted, _) => Observation::Absent,
            (State::Stopped, _) => Observation::Stopped(self.exit.clone()),
            (State::Running | State::Paused, Some(_)) if self.is_silent(now_ms) => Observation::Unresponsive,
            (State::Running, Some(_)) => Observation::Running,
            (State::Paused, Some(_)) => Observation::Paused,
            (State::Running | State::Paused, None) => {
                Observation::Stopped(Some(Exit::Died("simulated death".to_owned())))
            }
        }
    }
}

impl Ledger {
    pub(super) fn in_memory() -> Self {
        Self { vms: BTreeMap::new(), file: None }
    }

    /// Folds the lines of the file. What is no line of ours, such as the rest of one that was cut, counts for
    /// nothing and is told.
    pub(super) fn open(path: PathBuf) -> Result<Self, ProviderError> {
        let (file, text) = open(&path).map_err(|source| failed("cannot open", &path, source))?;
        Ok(Self { file: Some((path, file)), ..Self::folded(&text) })
    }

    /// The lines of a file that is left as it is.
    pub(super) fn read(path: &Path) -> Result<Self, ProviderError> {
        match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::in_memory()),
            Err(source) => Err(failed("cannot read", path, source)),
            Ok(bytes) => Ok(Self::folded(&String::from_utf8_lossy(&bytes))),
        }
    }

    fn folded(text: &str) -> Self {
        let mut ledger = Self::in_memory();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            match serde_json::from_str::<Line>(line) {
                Ok(line) => ledger.fold(line),
                Err(error) => {
                    tracing::warn!(line = index + 1, %error, "a line of simulated deeds is ignored")
                }
            }
        }
        ledger
    }

    pub(super) fn vm(&self, vm_id: VmId) -> Option<&Vm> {
        self.vms.get(&vm_id)
    }

    pub(super) fn vm_ids(&self) -> Vec<VmId> {
        self.vms.keys().copied().collect()
    }

    /// Writes the deed down and syncs it, then lets it be so.
    pub(super) fn append(
        &mut self,
        deed: Deed,
        vm_id: VmId,
        state: State,
        at_ms: i64,
        spec: Option<VmSpec>,
    ) -> Result<(), ProviderError> {
        let line = Line { deed, vm_id, state, at_ms, spec };
        if let Some((path, file)) = &mut self.file {
            let mut text =
                serde_json::to_vec(&line).expect("its maps have text keys and nothing in it can fail");
            text.push(b'\n');
            write(file, &text).map_err(|source| failed("cannot write", path, source))?;
        }
        self.fold(line);
        Ok(())
    }

    fn fold(&mut self, line: Line) {
        let Line { deed, vm_id, state, at_ms, spec } = line;
        if state == State::Deleted {
            self.vms.remove(&vm_id);
            return;
        }
        if let Some(spec) = spec {
            self.vms.insert(vm_id, Vm { spec, state, booted_at_ms: at_ms, exit: None });
        }
        let Some(vm) = self.vms.get_mut(&vm_id) else { return };
        vm.state = state;
        match deed {
            Deed::Boot => (vm.booted_at_ms, vm.exit) = (at_ms, None),
            Deed::PowerOff => vm.exit = Some(Exit::GuestPoweredOff),
            Deed::ForceOff => vm.exit = None,
            Deed::Create | Deed::Pause | Deed::Resume | Deed::Delete => {}
        }
    }
}

fn open(path: &Path) -> io::Result<(File, String)> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if bytes.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n")?;
    }
    Ok((file, String::from_utf8_lossy(&bytes).into_owned()))
}

/// In one call, so that a line is never mixed with another; what a full disk cut is taken back.
fn write(file: &mut File, text: &[u8]) -> io::Result<()> {
    let length = file.metadata()?.len();
    let written = file.write_all(text).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(length)?;
    }
    written
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> ProviderError {
    ProviderError::File { operation, path: path.to_owned(), source }
}
