//! What commands wrote: kept with their results, within a bound for all together.

use std::collections::VecDeque;

use nkudo_domain::ActionId;

use crate::actions::Tracked;
use crate::tracker::Tracker;

/// The results that have an output with text, in the order of their end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outputs {
    kept: VecDeque<Kept>,
    pub(crate) bytes: usize,
}

/// One of them. Once its result is forgotten its id may be that of another, which has another number.
#[derive(Debug, Clone)]
struct Kept {
    action_id: ActionId,
    result_seq: Option<u64>,
    bytes: usize,
}

impl Tracker {
    /// An action has ended: from here on its output counts.
    pub(crate) fn keep_output(&mut self, action_id: &ActionId) {
        let Some(tracked) = self.actions.get(action_id) else { return };
        let output = tracked.execution.as_ref().and_then(|execution| execution.output.as_ref());
        let Some(bytes) = output.map(|output| output.len()).filter(|bytes| *bytes > 0) else { return };
        let (action_id, result_seq) = (action_id.clone(), tracked.result_seq);
        self.outputs.kept.push_back(Kept { action_id, result_seq, bytes });
        self.outputs.bytes += bytes;
    }

    /// Lets go of the oldest outputs while they are too much. What is owed to somebody stays until it is told, and commands
    /// are not taken in meanwhile.
    pub(crate) fn forget_outputs(&mut self) {
        while self.outputs.bytes > self.config.outputs_max
            && let Some(Kept { action_id, result_seq, bytes }) = self.outputs.kept.front().cloned()
        {
            let is_its = |tracked: &&Tracked| tracked.result_seq == result_seq;
            if self.actions.get(&action_id).filter(is_its).is_some_and(|tracked| self.is_owed(tracked)) {
                return;
            }
            let tracked = self.actions.get_mut(&action_id).filter(|tracked| is_its(&&**tracked));
            let execution = tracked.and_then(|tracked| tracked.execution.as_mut());
            if let Some(output) = execution.and_then(|execution| execution.output.as_mut()) {
                output.forget();
            }
            self.outputs.kept.pop_front();
            self.outputs.bytes -= bytes;
        }
    }
}
