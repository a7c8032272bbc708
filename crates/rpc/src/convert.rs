//! Between the wire and domain values.

mod acknowledgements;
mod heartbeats;
mod logs;
mod outages;
mod results;

use std::str::FromStr;
use std::time::Duration;

use nkudo_api::action::{self, Origin};
use nkudo_domain::{Action, ActionId, labels_fit};
use nkudo_spans::Traceparent;

use crate::error::{RpcError, RpcErrorKind};
use crate::generated as wire;
use crate::message::{
    AgentHello, Answer, Delivery, Enrolled, Facts, FromAgent, NewCertificate, ServerHello, ToAgent, VmReport,
    VmStanding,
};
use crate::trace_context::TraceContext;

/// Longest sentence that comes with a message, in bytes; what is longer is cut.
const SENTENCE_MAX_BYTES: usize = 4 << 10;
/// Longest name of an outbox, in bytes.
const OUTBOX_ID_MAX_BYTES: usize = 64;

/// What one end hears of the other on a link. A message that is not understood comes from a later version, for example;
/// to end the link for it would only bring it back.
pub type Heard<T> = Result<T, WireError>;

/// A message is not one of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct WireError {
    pub field: &'static str,
    pub detail: String,
}

impl From<WireError> for RpcError {
    fn from(error: WireError) -> Self {
        Self::new(RpcErrorKind::Invalid, error.to_string())
    }
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(field: &'static str, text: &str) -> Result<T, WireError> {
    text.parse().map_err(|error: T::Err| WireError { field, detail: error.to_string() })
}

fn present<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or_else(|| WireError { field, detail: "is missing".to_owned() })
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(SENTENCE_MAX_BYTES));
    text
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl From<Facts> for wire::Facts {
    fn from(facts: Facts) -> Self {
        let Facts { hostname, version, labels } = facts;
        Self { hostname, version, labels: labels.into_iter().collect() }
    }
}

impl From<wire::Facts> for Facts {
    fn from(facts: wire::Facts) -> Self {
        let wire::Facts { hostname, version, labels } = facts;
        Self { hostname, version, labels: labels.into_iter().collect() }
    }
}

impl From<Enrolled> for wire::EnrollResponse {
    fn from(enrolled: Enrolled) -> Self {
        let Enrolled { tenant_id, site_id, agent_id, certificate } = enrolled;
        let NewCertificate { certificate_pem, ca_pem, expires_at_ms } = certificate;
        Self {
            tenant_id: tenant_id.to_string(),
            site_id: site_id.to_string(),
            agent_id: agent_id.to_string(),
            certificate_pem,
            ca_pem,
            expires_at_ms,
        }
    }
}

impl TryFrom<wire::EnrollResponse> for Enrolled {
    type Error = WireError;

    fn try_from(answer: wire::EnrollResponse) -> Result<Self, WireError> {
        let wire::EnrollResponse { tenant_id, site_id, agent_id, certificate_pem, ca_pem, expires_at_ms } =
            answer;
        Ok(Self {
            tenant_id: parsed("tenant_id", &tenant_id)?,
            site_id: parsed("site_id", &site_id)?,
            agent_id: parsed("agent_id", &agent_id)?,
            certificate: NewCertificate { certificate_pem, ca_pem, expires_at_ms },
        })
    }
}

impl From<NewCertificate> for wire::RenewResponse {
    fn from(certificate: NewCertificate) -> Self {
        let NewCertificate { certificate_pem, ca_pem, expires_at_ms } = certificate;
        Self { certificate_pem, ca_pem, expires_at_ms }
    }
}

impl From<wire::RenewResponse> for NewCertificate {
    fn from(answer: wire::RenewResponse) -> Self {
        let wire::RenewResponse { certificate_pem, ca_pem, expires_at_ms } = answer;
        Self { certificate_pem, ca_pem, expires_at_ms }
    }
}

impl From<FromAgent> for wire::AgentMessage {
    fn from(message: FromAgent) -> Self {
        use wire::agent_message::Message;
        let message = match message {
            FromAgent::Hello(AgentHello { facts, sent_at_ms, outbox_id }) => {
                Message::Hello(wire::AgentHello { facts: Some(facts.into()), sent_at_ms, outbox_id })
            }
            FromAgent::Received { action_id, answer } => Message::Received(received(&action_id, answer)),
            FromAgent::Started { action_id, at_ms } => {
                Message::Started(wire::Started { action_id: action_id.to_string(), at_ms })
            }
            FromAgent::Result(result) => Message::Result((*result).into()),
            FromAgent::Vms(report) => Message::Vms(report.into()),
            FromAgent::Spans { otlp_json } => Message::Spans(wire::Spans { otlp_json }),
            FromAgent::Goodbye { reason } => Message::Goodbye(wire::Goodbye { reason }),
            FromAgent::Logs(answer) => Message::LogsAnswer(answer.into()),
            FromAgent::Outages(outages) => Message::Outages(outages.into()),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::AgentMessage> for FromAgent {
    type Error = WireError;

    fn try_from(message: wire::AgentMessage) -> Result<Self, WireError> {
        use wire::agent_message::Message;
        Ok(match present("message", message.message)? {
            Message::Hello(wire::AgentHello { facts, sent_at_ms, outbox_id }) => {
                let facts = present("hello.facts", facts)?.into();
                if outbox_id.len() > OUTBOX_ID_MAX_BYTES {
                    let detail = format!("longer than {OUTBOX_ID_MAX_BYTES} bytes");
                    return Err(WireError { field: "hello.outbox_id", detail });
                }
                Self::Hello(AgentHello { facts, sent_at_ms, outbox_id })
            }
            Message::Received(received) => {
                let action_id = parsed("received.action_id", &received.action_id)?;
                Self::Received { action_id, answer: answer(received) }
            }
            Message::Started(wire::Started { action_id, at_ms }) => {
                Self::Started { action_id: parsed("started.action_id", &action_id)?, at_ms }
            }
            Message::Result(result) => Self::Result(Box::new(result.try_into()?)),
            Message::Vms(report) => Self::Vms(report.try_into()?),
            Message::Spans(wire::Spans { otlp_json }) => Self::Spans { otlp_json },
            Message::Goodbye(wire::Goodbye { reason }) => Self::Goodbye { reason },
            Message::LogsAnswer(answer) => Self::Logs(answer.try_into()?),
            Message::Outages(outages) => Self::Outages(outages.try_into()?),
        })
    }
}

fn received(action_id: &ActionId, answer: Answer) -> wire::Received {
    use wire::received::Answer as Wire;
    let (answer, error) = match answer {
        Answer::Accepted => (Wire::Accepted, String::new()),
        Answer::Refused(error) => (Wire::Refused, error),
        Answer::Expired => (Wire::Expired, String::new()),
        Answer::Cancelled => (Wire::Cancelled, String::new()),
        Answer::Busy(why) => (Wire::Busy, why),
    };
    wire::Received { action_id: action_id.to_string(), answer: answer.into(), error }
}

/// An answer that is not known here is a refusal: whoever waits for one must not wait for ever.
fn answer(received: wire::Received) -> Answer {
    use wire::received::Answer as Wire;
    match Wire::try_from(received.answer) {
        Ok(Wire::Accepted) => Answer::Accepted,
        Ok(Wire::Refused) => Answer::Refused(cut(received.error)),
        Ok(Wire::Expired) => Answer::Expired,
        Ok(Wire::Cancelled) => Answer::Cancelled,
        Ok(Wire::Busy) => Answer::Busy(cut(received.error)),
        Ok(Wire::Unspecified) | Err(_) => {
            Answer::Refused(format!("the host answered {}, which is not known here", received.answer))
        }
    }
}

fn body_json(action: &Action) -> Vec<u8> {
    action::to_json(action).to_string().into_bytes()
}

fn read_body(
    body: &[u8],
    action_id: &ActionId,
    context: TraceContext,
    correlation_id: Option<String>,
) -> Result<Action, String> {
    let value = nkudo_api::body::read(body).map_err(|error| format!("the body of the action: {error}"))?;
    let TraceContext { trace_id, parent_span_id } = context;
    let origin = Origin { action_id: action_id.clone(), trace_id, parent_span_id, correlation_id };
    let action = action::parse(&value, "", origin).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        format!("this host does not understand the action: {}", faults.join("; "))
    })?;
    if action.action_id == *action_id {
        Ok(action)
    } else {
        Err(format!("the body is of another action, {}", action.action_id))
    }
}

impl From<VmReport> for wire::Vms {
    fn from(report: VmReport) -> Self {
        let VmReport { complete, more, vms, gone, not_understood: _ } = report;
        let vms = vms.into_iter().map(wire::Vm::from).collect();
        Self { complete, more, vms, gone: gone.iter().map(ToString::to_string).collect() }
    }
}

impl TryFrom<wire::Vms> for VmReport {
    type Error = WireError;

    fn try_from(report: wire::Vms) -> Result<Self, WireError> {
        let wire::Vms { complete, more, vms, gone } = report;
        let read: Vec<Result<VmStanding, WireError>> = vms.into_iter().map(VmStanding::try_from).collect();
        let not_understood = u32::try_from(read.iter().filter(|vm| vm.is_err()).count()).unwrap_or(u32::MAX);
        let vms = read.into_iter().flatten().collect();
        let gone = gone.iter().map(|vm_id| parsed("vms.gone", vm_id)).collect::<Result<_, _>>()?;
        Ok(Self { complete, more, vms, gone, not_understood })
    }
}

impl From<VmStanding> for wire::Vm {
    fn from(vm: VmStanding) -> Self {
        let VmStanding { vm_id, vm_name, state, reason, vcpus, memory_bytes, provider, .. } = vm;
        Self {
            vm_id: vm_id.to_string(),
            vm_name: vm_name.to_string(),
            state: state.to_string(),
            reason: reason.map(cut),
            vcpus,
            memory_bytes,
            provider: provider.to_string(),
            pid: vm.pid,
            since_ms: vm.since_ms,
            restarts: vm.restarts,
            labels: vm.labels.into_iter().collect(),
        }
    }
}

impl TryFrom<wire::Vm> for VmStanding {
    type Error = WireError;

    fn try_from(vm: wire::Vm) -> Result<Self, WireError> {
        let wire::Vm { vm_id, vm_name, state, reason, vcpus, memory_bytes, provider, .. } = vm;
        let labels = vm.labels.into_iter().collect();
        if !labels_fit(&labels) {
            let detail = "too many, or too long".to_owned();
            return Err(WireError { field: "vms.labels", detail });
        }
        Ok(Self {
            vm_id: parsed("vms.vm_id", &vm_id)?,
            vm_name: parsed("vms.vm_name", &vm_name)?,
            state: parsed("vms.state", &state)?,
            reason: reason.map(cut),
            vcpus,
            memory_bytes,
            provider: parsed("vms.provider", &provider)?,
            pid: vm.pid,
            since_ms: vm.since_ms,
            restarts: vm.restarts,
            labels,
        })
    }
}

impl From<ToAgent> for wire::ServerMessage {
    fn from(message: ToAgent) -> Self {
        use wire::server_message::Message;
        let message = match message {
            ToAgent::Hello(hello) => {
                let ServerHello { version, server_time_ms, heartbeat_interval, results_recorded } = hello;
                let heartbeat_interval_ms = milliseconds(heartbeat_interval);
                Message::Hello(wire::ServerHello {
                    version,
                    server_time_ms,
                    heartbeat_interval_ms,
                    results_recorded,
                })
            }
            ToAgent::Deliver(delivery) => Message::Deliver((*delivery).into()),
            ToAgent::Cancel { action_id } => {
                Message::Cancel(wire::Cancel { action_id: action_id.to_string() })
            }
            ToAgent::Acknowledge { seq } => Message::Acknowledge(wire::Acknowledge { seq }),
            ToAgent::Closing { retry_after } => {
                Message::Closing(wire::Closing { retry_after_ms: milliseconds(retry_after) })
            }
            ToAgent::AskLogs(request) => Message::LogsRequest(request.into()),
            ToAgent::OutagesAcknowledged { ledger_id, seq } => {
                Message::OutagesAcknowledged(wire::OutagesAcknowledged { ledger_id, seq })
            }
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::ServerMessage> for ToAgent {
    type Error = WireError;

    fn try_from(message: wire::ServerMessage) -> Result<Self, WireError> {
        use wire::server_message::Message;
        Ok(match present("message", message.message)? {
            Message::Hello(hello) => Self::Hello(ServerHello {
                version: hello.version,
                server_time_ms: hello.server_time_ms,
                heartbeat_interval: Duration::from_millis(hello.heartbeat_interval_ms.into()),
                results_recorded: hello.results_recorded,
            }),
            Message::Deliver(delivery) => Self::Deliver(Box::new(delivery.try_into()?)),
            Message::Cancel(wire::Cancel { action_id }) => {
                Self::Cancel { action_id: parsed("cancel.action_id", &action_id)? }
            }
            Message::Acknowledge(acknowledge) => acknowledge.try_into()?,
            Message::Closing(wire::Closing { retry_after_ms }) => {
                Self::Closing { retry_after: Duration::from_millis(retry_after_ms.into()) }
            }
            Message::LogsRequest(request) => Self::AskLogs(request.into()),
            Message::OutagesAcknowledged(wire::OutagesAcknowledged { ledger_id, seq }) => {
                Self::OutagesAcknowledged { ledger_id, seq }
            }
        })
    }
}

impl From<Delivery> for wire::Deliver {
    fn from(delivery: Delivery) -> Self {
        let Delivery { action_id, action, expires_at_ms, cancel, taken_in } = delivery;
        let action = action.ok();
        let traceparent = action.as_ref().and_then(|action| TraceContext::of(action).traceparent());
        Self {
            action_id: action_id.to_string(),
            body_json: action.as_ref().map(body_json).unwrap_or_default(),
            expires_at_ms,
            traceparent: traceparent.map(|traceparent| traceparent.to_string()).unwrap_or_default(),
            correlation_id: action.and_then(|action| action.correlation_id).unwrap_or_default(),
            cancel,
            taken_in,
        }
    }
}

impl TryFrom<wire::Deliver> for Delivery {
    type Error = WireError;

    fn try_from(deliver: wire::Deliver) -> Result<Self, WireError> {
        let action_id: ActionId = parsed("deliver.action_id", &deliver.action_id)?;
        // A trace that cannot be read is no reason to refuse an action.
        let context = deliver.traceparent.parse::<Traceparent>().map(TraceContext::from).unwrap_or_default();
        let correlation_id = Some(deliver.correlation_id).filter(|id| !id.is_empty());
        let action = read_body(&deliver.body_json, &action_id, context, correlation_id);
        let wire::Deliver { expires_at_ms, cancel, taken_in, .. } = deliver;
        Ok(Self { action_id, action, expires_at_ms, cancel, taken_in })
    }
}
