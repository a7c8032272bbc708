//! What an agent says, into the books: each kind of message of a batch in one transaction.

use std::sync::Arc;

use nkudo_domain::{ActionId, EndStatus, Outcome};
use nkudo_rpc::message::{ActionResult, Answer, FromAgent, Outages, ToAgent, VmReport, VmStanding};
use nkudo_rpc::{Heard, RpcError, RpcErrorKind};
use nkudo_store::{ExecutionRecord, Recorded, Reported, ResultBatch, VmRecord};
use tracing::{Instrument as _, Span};

use super::Session;
use super::spans::result as result_span;
use crate::grpc::store_failed;
use crate::traces;

/// What is kept of the reason of a goodbye, in bytes.
const REASON_MAX_BYTES: usize = 256;

/// Most VMs of one host.
const VMS_MAX: usize = 65_536;

/// A report of all VMs as far as it has come.
#[derive(Default)]
pub(super) struct Pieces {
    vms: Vec<VmRecord>,
    /// One of its messages was not understood.
    broken: bool,
}

/// What messages of one batch say, sorted, so that each kind is one transaction.
#[derive(Default)]
struct Batch {
    delivered: Vec<ActionId>,
    started: Vec<(ActionId, i64)>,
    unrun: Vec<(ActionId, EndStatus, Option<String>)>,
    results: Vec<ActionResult>,
    reports: Vec<VmReport>,
    spans: Vec<Vec<u8>>,
    outages: Vec<Outages>,
    goodbye: Option<String>,
    /// Why the host had no room for something, as it was said last.
    held: Option<String>,
}

impl Session {
    /// Takes up what the agent says; when this answers Ok it is in the books.
    pub(super) async fn take_up(
        &mut self,
        messages: Vec<Result<Heard<FromAgent>, RpcError>>,
    ) -> Result<(), RpcError> {
        let batch = self.sort(messages)?;
        let agent_id = self.peer.identity.agent_id;
        let tenant_id = self.peer.identity.tenant_id.clone();
        let control = Arc::clone(&self.control);
        let failed = |error| store_failed(&error);
        if !batch.delivered.is_empty() {
            control.store.mark_delivered(agent_id, &batch.delivered).await.map_err(failed)?;
        }
        if !batch.started.is_empty() {
            control.store.mark_started(agent_id, &batch.started).await.map_err(failed)?;
        }
        let started = batch.started.iter().map(|(action_id, _)| action_id);
        for action_id in batch.delivered.iter().chain(started) {
            control.changed(&tenant_id, action_id);
        }
        self.tell_held(batch.held.as_deref());
        for (action_id, status, error) in batch.unrun {
            let ended = control.end_unrun(agent_id, &action_id, status, error.as_deref());
            ended.await.map_err(failed)?;
        }
        self.record_vms(batch.reports).await?;
        self.record_spans(&batch.spans);
        if !batch.results.is_empty() {
            self.record_results(batch.results).await?;
        }
        self.record_outages(batch.outages).await?;
        if let Some(reason) = batch.goodbye {
            let now_ms = nkudo_host::clock::wall_ms();
            control.store.record_goodbye(agent_id, &reason, now_ms).await.map_err(failed)?;
            tracing::info!(%agent_id, reason, "agent said goodbye");
            control.roster.said_goodbye(agent_id, reason);
        }
        Ok(())
    }

    /// Whoever looks at what is queued reads why.
    fn tell_held(&self, said: Option<&str>) {
        let Some(open) = &self.open else { return };
        let agent_id = self.peer.identity.agent_id;
        let why = match (said, open.dispatch.is_held()) {
            // As it was told before.
            (None, true) => return,
            (said, true) => said,
            (_, false) => None,
        };
        if self.control.roster.held(agent_id, &open.signal, why) {
            match why {
                Some(why) => tracing::warn!(%agent_id, why, "the host has no room for new actions"),
                None => tracing::info!(%agent_id, "the host has room for new actions"),
            }
            self.control.holds_up_changed(agent_id);
        }
    }

    fn sort(&mut self, messages: Vec<Result<Heard<FromAgent>, RpcError>>) -> Result<Batch, RpcError> {
        let mut batch = Batch::default();
        let Some(open) = &mut self.open else { return Ok(batch) };
        for message in messages {
            match message? {
                Ok(FromAgent::Hello(_)) => {}
                Ok(FromAgent::Received { action_id, answer }) => {
                    open.deliveries.answered(&action_id, answer_name(&answer));
                    let end = match answer {
                        Answer::Busy(why) => {
                            open.dispatch.busy(&action_id, nkudo_host::clock::monotonic_ms());
                            batch.held = Some(why);
                            continue;
                        }
                        Answer::Accepted => None,
                        Answer::Refused(why) => Some((EndStatus::Failure, Some(why))),
                        Answer::Expired => {
                            Some((EndStatus::Expired, Outcome::Expired.error().map(str::to_owned)))
                        }
                        Answer::Cancelled => Some((EndStatus::Cancelled, None)),
                    };
                    open.dispatch.answered(&action_id);
                    match end {
                        None => batch.delivered.push(action_id),
                        Some((status, why)) => batch.unrun.push((action_id, status, why)),
                    }
                }
                Ok(FromAgent::Started { action_id, at_ms }) => batch.started.push((action_id, at_ms)),
                Ok(FromAgent::Result(result)) => batch.results.push(*result),
                Ok(FromAgent::Vms(report)) => batch.reports.push(report),
                Ok(FromAgent::Spans { otlp_json }) => batch.spans.push(otlp_json),
                Ok(FromAgent::Logs(answer)) => open.signal.answered(answer),
                Ok(FromAgent::Outages(outages)) => batch.outages.push(outages),
                Ok(FromAgent::Goodbye { mut reason }) => {
                    reason.truncate(reason.floor_char_boundary(REASON_MAX_BYTES));
                    batch.goodbye = Some(reason);
                }
                Err(error) => {
                    let agent_id = self.peer.identity.agent_id;
                    self.control.metrics.messages_not_understood.inc();
                    tracing::warn!(%agent_id, reason = %error, "a message was not understood");
                    // It may have been a piece.
                    open.pieces.get_or_insert_default().broken = true;
                }
            }
        }
        Ok(batch)
    }

    /// What cannot be read, or finds no room, is missing in its trace and nowhere else.
    fn record_spans(&self, told: &[Vec<u8>]) {
        let Some(recorder) = &self.control.recorder else { return };
        let (tenant_id, agent_id) = (&self.peer.identity.tenant_id, self.peer.identity.agent_id);
        for otlp_json in told {
            match traces::told(otlp_json, tenant_id, agent_id) {
                Ok(spans) => {
                    let _is_taken = recorder.offer(spans);
                }
                Err(error) => {
                    self.control.metrics.messages_not_understood.inc();
                    tracing::warn!(%agent_id, reason = %error, "spans of an agent were not understood");
                }
            }
        }
    }

    /// What is not understood is acknowledged too: it would only come again.
    async fn record_outages(&mut self, told: Vec<Outages>) -> Result<(), RpcError> {
        let (tenant_id, agent_id) = (&self.peer.identity.tenant_id, self.peer.identity.agent_id);
        for Outages { ledger_id, outages, last_seq, not_understood } in told {
            if not_understood > 0 {
                self.control.metrics.messages_not_understood.inc_by(not_understood.into());
                tracing::warn!(%agent_id, outages = not_understood, "some outages were not understood");
            }
            let recorded = self.control.store.record_outages(tenant_id, agent_id, &ledger_id, &outages).await;
            recorded.map_err(|error| store_failed(&error))?;
            tracing::info!(%agent_id, outages = outages.len(), "agent told why it was away");
            self.outgoing.push_back(ToAgent::OutagesAcknowledged { ledger_id, seq: last_seq });
        }
        Ok(())
    }

    async fn record_results(&mut self, results: Vec<ActionResult>) -> Result<(), RpcError> {
        let (tenant_id, agent_id) = (self.peer.identity.tenant_id.clone(), self.peer.identity.agent_id);
        let last_seq = results.last().map_or(0, |result| result.seq);
        let mut reported = Vec::with_capacity(results.len());
        for result in results {
            reported.extend(self.reported(result).await?);
        }
        let Some(open) = &self.open else { return Ok(()) };
        let outbox_id = open.outbox_id.clone();
        // They end when the results are in the books: one transaction, which shows in the trace of the first.
        let identity = &self.peer.identity;
        let span = |result: &Reported| result_span(&result.action, result.status.as_str(), identity);
        let spans: Vec<Span> = reported.iter().map(span).collect();
        let within = spans.first().map_or_else(Span::none, Span::clone);
        let batch = ResultBatch { tenant_id, agent_id, outbox_id, results: reported };
        let recorded = self.control.store.record_results(&batch, nkudo_host::clock::wall_ms());
        let recorded = recorded.instrument(within).await;
        drop(spans);
        let Recorded { seq, ended, of_others } = recorded.map_err(|error| store_failed(&error))?;
        self.control.ended(&ended);
        for action_id in of_others {
            self.control.metrics.messages_not_understood.inc();
            tracing::warn!(%agent_id, %action_id, "a result of another agent's action was passed over");
        }
        self.outgoing.push_back(ToAgent::Acknowledge { seq: seq.max(last_seq) });
        Ok(())
    }

    /// A result as the books take it. None when its body is not understood and the action is not known either: there
    /// is nothing to record it by.
    async fn reported(&mut self, result: ActionResult) -> Result<Option<Reported>, RpcError> {
        let (tenant_id, agent_id) = (&self.peer.identity.tenant_id, self.peer.identity.agent_id);
        let action = match result.action {
            Some(action) => action,
            None => {
                let known = self.control.store.action(tenant_id, &result.action_id).await;
                match known.map_err(|error| store_failed(&error))? {
                    Some(record) => record.action,
                    None => {
                        self.control.metrics.messages_not_understood.inc();
                        tracing::warn!(%agent_id, action_id = %result.action_id, "a result was not understood");
                        return Ok(None);
                    }
                }
            }
        };
        let status = match result.status {
            EndStatus::Success => Some(nkudo_domain::ExecutionStatus::Success),
            EndStatus::Failure => Some(nkudo_domain::ExecutionStatus::Failure),
            EndStatus::Cancelled => Some(nkudo_domain::ExecutionStatus::Cancelled),
            EndStatus::Expired => None,
        };
        let output = result.execution.as_ref().and_then(|execution| execution.output.clone());
        let execution = result.execution.zip(status).map(|(execution, status)| ExecutionRecord {
            agent_id,
            action_id: result.action_id.clone(),
            action_type: action.request.action_type(),
            vm_id: action.request.vm_id(),
            status,
            started_at_ms: execution.started_at_ms,
            completed_at_ms: result.completed_at_ms,
            duration_ms: execution.duration_ms,
            error: result.error.clone(),
            retries: result.retries,
            usage: execution.usage,
            trace_id: action.trace_id,
        });
        Ok(Some(Reported {
            seq: result.seq,
            action,
            status: result.status,
            changed: result.changed,
            error: result.error,
            retries: result.retries,
            created_at_ms: result.created_at_ms,
            completed_at_ms: result.completed_at_ms,
            execution,
            output,
        }))
    }

    async fn record_vms(&mut self, reports: Vec<VmReport>) -> Result<(), RpcError> {
        let (tenant_id, agent_id) = (&self.peer.identity.tenant_id, self.peer.identity.agent_id);
        let Some(open) = &mut self.open else { return Ok(()) };
        for report in reports {
            let VmReport { complete, more, vms, gone, not_understood } = report;
            if not_understood > 0 {
                self.control.metrics.messages_not_understood.inc_by(not_understood.into());
                tracing::warn!(%agent_id, vms = not_understood, "some VMs of a report were not understood");
            }
            let vms = vms.into_iter().map(|vm| vm_record(vm, agent_id));
            let store = &self.control.store;
            let recorded = if complete {
                let mut pieces = open.pieces.take().unwrap_or_default();
                pieces.vms.extend(vms);
                pieces.broken |= not_understood > 0;
                if pieces.vms.len() > VMS_MAX {
                    let sentence = format!("the host says that it has more than {VMS_MAX} VMs");
                    return Err(RpcError::new(RpcErrorKind::Exhausted, sentence));
                }
                match (more, pieces.broken) {
                    (true, _) => {
                        open.pieces = Some(pieces);
                        Ok(())
                    }
                    (false, false) => store.replace_vms(tenant_id, agent_id, &pieces.vms).await,
                    // What is missing is not gone.
                    (false, true) => store.change_vms(tenant_id, agent_id, &pieces.vms, &[]).await,
                }
            } else {
                store.change_vms(tenant_id, agent_id, &vms.collect::<Vec<_>>(), &gone).await
            };
            recorded.map_err(|error| store_failed(&error))?;
        }
        Ok(())
    }
}

fn answer_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Accepted => "accepted",
        Answer::Refused(_) => "refused",
        Answer::Expired => "expired",
        Answer::Cancelled => "cancelled",
        Answer::Busy(_) => "busy",
    }
}

fn vm_record(vm: VmStanding, agent_id: nkudo_domain::AgentId) -> VmRecord {
    let VmStanding {
        vm_id,
        vm_name,
        state,
        reason,
        vcpus,
        memory_bytes,
        provider,
        pid,
        since_ms,
        restarts,
        labels,
    } = vm;
    VmRecord {
        vm_id,
        agent_id,
        vm_name,
        state,
        reason,
        vcpus,
        memory_bytes,
        provider,
        pid,
        since_ms,
        restarts,
        labels,
    }
}
