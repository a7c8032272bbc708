//! `edge-state.json`: written when something changed, at most a second behind, replaced as a whole.

use std::path::Path;

use nkudo_api::view::{ExecutionView, StateFile};
use nkudo_host::clock;
use nkudo_journal::{Disk, atomic_replace};
use nkudo_supervision::{Operation, Operations};
use nkudo_tracker::Record;
use tokio::time::Instant;

use crate::error::chain;

/// The name of the file in the state directory.
pub(crate) const FILE_NAME: &str = "edge-state.json";

/// Copies that are kept of what was told before losses; the first ones tell the most.
const COPIES_MAX: usize = 8;

/// Sets a file that is not readable aside; the agent goes on from its journal and writes a new one.
pub(crate) fn set_aside_if_broken(state_dir: &Path) {
    let path = state_dir.join(FILE_NAME);
    let Ok(bytes) = std::fs::read(&path) else { return };
    let error = match serde_json::from_slice::<StateFile>(&bytes) {
        Ok(file) if file.version == StateFile::VERSION => return,
        Ok(file) => format!("it is of version {} and this agent writes {}", file.version, StateFile::VERSION),
        Err(error) => error.to_string(),
    };
    let aside = state_dir.join(format!("edge-state.corrupt-{}.json", clock::wall_ms()));
    match std::fs::rename(&path, &aside) {
        Ok(()) => tracing::warn!(
            path = %path.display(), kept_as = %aside.display(), error,
            "state file is not readable; it is kept aside and written anew from the journal"
        ),
        Err(rename) => tracing::error!(
            path = %path.display(), error = chain(&rename), cause = error, "state file is not readable and cannot be kept aside"
        ),
    }
}

/// Whether the file tells of an end that these records do not know. It is written from what is durable, so the journal has
/// lost its tail then: one that ends between two records shows no damage.
pub(crate) fn is_ahead_of<D: Disk>(disk: &D, state_dir: &Path, records: &[Record]) -> bool {
    let Some(file) = read(disk, state_dir) else { return false };
    let series = records.iter().rev().find_map(|record| match record {
        Record::Outbox { id, .. } => Some(id.as_str()),
        Record::Accepted { .. }
        | Record::Started { .. }
        | Record::Ended { .. }
        | Record::Vm(_)
        | Record::Acknowledged { .. }
        | Record::Aggregates(_) => None,
    });
    // One from before the last loss tells of that loss.
    if file.outbox_id.is_empty() || file.outbox_id.as_str() < series.unwrap_or_default() {
        return false;
    }
    let ended = |execution: &&ExecutionView| execution.completed_at.is_some();
    let Some(newest) = file.executions.iter().rfind(ended) else { return false };
    let knows =
        |record: &Record| matches!(record, Record::Ended { action_id, .. } if *action_id == newest.action_id);
    !records.iter().any(knows)
}

fn read<D: Disk>(disk: &D, state_dir: &Path) -> Option<StateFile> {
    let bytes = disk.read_at(&state_dir.join(FILE_NAME), 0, u64::MAX).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Keeps a copy of a file that tells of executions which the journal has lost, before it is written anew without them.
pub(crate) fn keep_before_loss<D: Disk>(disk: &D, state_dir: &Path) {
    let path = state_dir.join(FILE_NAME);
    let Some(file) = read(disk, state_dir) else { return };
    let names = std::fs::read_dir(state_dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let copies = names.filter(|name| name.to_string_lossy().starts_with("edge-state.before-loss-")).count();
    if file.executions.is_empty() || copies >= COPIES_MAX {
        return;
    }
    let copy = state_dir.join(format!("edge-state.before-loss-{}.json", clock::wall_ms()));
    match std::fs::copy(&path, &copy) {
        Ok(_) => tracing::error!(
            executions = file.executions.len(), kept_as = %copy.display(),
            "the journal has lost records; what the state file told is kept aside"
        ),
        Err(error) => tracing::error!(
            executions = file.executions.len(),
            error = chain(&error),
            "the journal has lost records, and what the state file told cannot be kept aside"
        ),
    }
}

/// Replaces the file. Whether it was: a failure is told and leaves the one before.
pub(crate) fn write<D: Disk>(disk: &D, path: &Path, content: &StateFile, operations: &Operations) -> bool {
    let (began, mut written) = (Instant::now(), 0);
    let result = serde_json::to_vec(content).map_err(|error| chain(&error)).and_then(|mut bytes| {
        bytes.push(b'\n');
        written = bytes.len() as u64;
        atomic_replace(disk, path, &bytes).map_err(|error| chain(&error))
    });
    operations.ended(Operation::FileWrite, written, began.elapsed(), result.is_ok());
    if let Err(error) = &result {
        tracing::error!(path = %path.display(), error, "state file cannot be written");
    }
    result.is_ok()
}
