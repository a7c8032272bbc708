//! The table of routes: what each path takes, who may ask, what it answers, and who does it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use nkudo_domain::Role;
use nkudo_rpc::Caller;

use super::answer::{Answered, Refused};
use super::auth::Principal;
use super::query::{Param, Params};
use super::service::Port;
use super::{access, actions, agents, events, executions, health, identity, logs, outages, traces, vms};
use crate::control::Control;

/// One operation of the REST API.
pub(super) struct Route {
    pub(super) method: Method,
    /// With `{name}` for the values of the path.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) access: Access,
    /// The values of the path and the query.
    pub(super) params: Vec<Param>,
    /// Whether `limit` and `cursor` are taken.
    pub(super) paged: bool,
    /// The body's schema.
    pub(super) body: Option<&'static str>,
    /// The status of success, and the schema of what is answered then.
    pub(super) success: (u16, Option<&'static str>),
    pub(super) handler: Handler,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// The bearer of a key with at least this role.
    Role(Role),
    /// An agent by its certificate, or the bearer of a key with at least this role.
    AgentOr(Role),
    /// An agent by its certificate.
    Agent,
}

/// A request that passed the checks of its route.
pub(super) struct Call {
    pub(super) control: Arc<Control>,
    /// None only where [`Access`] lets an agent in.
    pub(super) principal: Option<Principal>,
    pub(super) caller: Option<Caller>,
    /// Where it came in.
    pub(super) port: Port,
    pub(super) params: Params,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// Who shows a key. The routes that need one let nobody else in.
    pub(super) fn principal(&self) -> Result<&Principal, Refused> {
        let absent = || Refused::new(StatusCode::UNAUTHORIZED, "an API key is required");
        self.principal.as_ref().ok_or_else(absent)
    }
}

type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;
pub(super) type Handler = fn(Call) -> Answering;

macro_rules! handler {
    ($function:path) => {
        |call| Box::pin($function(call))
    };
}

const fn param(name: &'static str, schema: &'static str, help: &'static str) -> Param {
    Param { name, schema, help }
}

const AGENT: Param = param("agent_id", "AgentId", "The agent.");
const ACTION: Param = param("action_id", "ActionId", "The action.");
const VM: Param = param("vm_id", "VmId", "The microVM.");
const ACTION_TYPE: Param = param("action_type", "ActionType", "Only of this type.");
const SINCE: Param = param("since", "Time", "Not before this time.");
const UNTIL: Param = param("until", "Time", "Not after this time.");

/// Every operation.
pub(super) fn routes() -> Vec<Route> {
    let route = |method, path, summary, access, success, handler| Route {
        method,
        path,
        summary,
        access,
        params: Vec::new(),
        paged: false,
        body: None,
        success,
        handler,
    };
    let get = |path, summary, schema, handler| {
        route(Method::GET, path, summary, Access::Role(Role::Viewer), (200, Some(schema)), handler)
    };
    let list = |path, summary, schema, params, handler| Route {
        params,
        paged: true,
        ..get(path, summary, schema, handler)
    };
    let post = |path, summary, role, body, success, handler| Route {
        body: Some(body),
        ..route(Method::POST, path, summary, Access::Role(role), success, handler)
    };
    let delete = |path, summary, role, params, handler| Route {
        params,
        ..route(Method::DELETE, path, summary, Access::Role(role), (204, None), handler)
    };
    vec![
        list(
            "/v1/agents",
            "The agents, by id.",
            "AgentList",
            vec![param("site_id", "Name", "Only of this site.")],
            handler!(agents::list),
        ),
        Route {
            params: vec![AGENT],
            ..get("/v1/agents/{agent_id}", "An agent.", "Agent", handler!(agents::show))
        },
        Route {
            params: vec![AGENT],
            ..post(
                "/v1/agents/{agent_id}/actions",
                "Asks for an action. The same action_id with the same body answers the same.",
                Role::Operator,
                "ActionRequest",
                (202, Some("Accepted")),
                handler!(actions::submit),
            )
        },
        list(
            "/v1/agents/{agent_id}/outages",
            "Why the agent was away and for how long, as it told it when it was back, the last first.",
            "OutageList",
            vec![
                AGENT,
                param("cause", "OutageCause", "Only of this cause."),
                param("since", "Time", "Only those that ended then or later."),
                param("until", "Time", "Only those that began then or earlier."),
            ],
            handler!(outages::list),
        ),
        list(
            "/v1/vms",
            "The microVMs as their agents reported them, by id.",
            "VmList",
            vec![
                param("agent_id", "AgentId", "Only of this agent."),
                param("state", "VmState", "Only in this state."),
            ],
            handler!(vms::list),
        ),
        Route {
            params: vec![VM, param("agent_id", "AgentId", "On this agent.")],
            ..get("/v1/vms/{vm_id}", "A microVM.", "Vm", handler!(vms::show))
        },
        list(
            "/v1/actions",
            "The actions, the newest first.",
            "ActionList",
            vec![
                param("agent_id", "AgentId", "Only of this agent."),
                param("status", "ActionStatus", "Only with this status."),
                ACTION_TYPE,
                param("vm_id", "VmId", "Only of this microVM."),
                SINCE,
                UNTIL,
            ],
            handler!(actions::list),
        ),
        Route {
            params: vec![ACTION],
            ..get("/v1/actions/{action_id}", "An action.", "Action", handler!(actions::show))
        },
        Route {
            params: vec![ACTION],
            ..route(
                Method::POST,
                "/v1/actions/{action_id}/cancel",
                "Cancels an action. The answer does not wait for its end.",
                Access::Role(Role::Operator),
                (202, Some("Accepted")),
                handler!(actions::cancel),
            )
        },
        Route {
            params: vec![ACTION],
            ..get(
                "/v1/actions/{action_id}/events",
                "The action now and after every change, as server-sent events named `action`; ends with its end.",
                "Action",
                handler!(events::of_action),
            )
        },
        list(
            "/v1/executions",
            "The executions that agents reported, the newest first.",
            "ExecutionList",
            vec![
                param("agent_id", "AgentId", "Only of this agent."),
                param("status", "ExecutionStatus", "Only with this status."),
                ACTION_TYPE,
                param("vm_id", "VmId", "Only of this microVM."),
                SINCE,
                UNTIL,
            ],
            handler!(executions::list),
        ),
        list(
            "/v1/enrollment-tokens",
            "The enrolment tokens, by id.",
            "TokenList",
            Vec::new(),
            handler!(access::tokens),
        ),
        post(
            "/v1/enrollment-tokens",
            "Makes an enrolment token, and its site when there is none of that name. Only this answer shows it.",
            Role::Operator,
            "TokenRequest",
            (201, Some("TokenCreated")),
            handler!(access::create_token),
        ),
        delete(
            "/v1/enrollment-tokens/{token_id}",
            "Deletes an enrolment token: it lets nobody in any more.",
            Role::Operator,
            vec![param("token_id", "Text", "The token.")],
            handler!(access::delete_token),
        ),
        Route {
            access: Access::Role(Role::Admin),
            ..list("/v1/keys", "The API keys, by id.", "KeyList", Vec::new(), handler!(access::keys))
        },
        post(
            "/v1/keys",
            "Makes an API key. Only this answer shows it.",
            Role::Admin,
            "KeyRequest",
            (201, Some("KeyCreated")),
            handler!(access::create_key),
        ),
        delete(
            "/v1/keys/{key_id}",
            "Deletes an API key.",
            Role::Admin,
            vec![param("key_id", "Text", "The key.")],
            handler!(access::delete_key),
        ),
        list("/v1/sites", "The sites, by name.", "SiteList", Vec::new(), handler!(access::sites)),
        post(
            "/v1/sites",
            "Makes a site; one that is there already stays as it is.",
            Role::Operator,
            "SiteRequest",
            (201, Some("Site")),
            handler!(access::create_site),
        ),
        delete(
            "/v1/sites/{site_id}",
            "Deletes a site that has no agent and no token that is still good.",
            Role::Operator,
            vec![param("site_id", "Name", "The site.")],
            handler!(access::delete_site),
        ),
        list("/v1/tenants", "The caller's own tenant.", "TenantList", Vec::new(), handler!(access::tenants)),
        Route {
            body: Some("RenewRequest"),
            ..route(
                Method::POST,
                "/v1/renew",
                "A new certificate for the agent whose certificate the connection shows.",
                Access::Agent,
                (200, Some("Renewed")),
                handler!(identity::renew),
            )
        },
        Route {
            body: Some("UnenrollRequest"),
            ..route(
                Method::POST,
                "/v1/unenroll",
                "Takes an agent out of the fleet and revokes its certificates: an agent itself, an operator any.",
                Access::AgentOr(Role::Operator),
                (200, Some("Unenrolled")),
                handler!(identity::unenroll),
            )
        },
        get("/v1/health", "The health of the control plane and its parts.", "Health", handler!(health::show)),
        list(
            "/v1/traces",
            "The recent traces, the newest first: of each what is the caller's tenant's.",
            "TraceList",
            vec![
                param("agent_id", "AgentId", "Only with a step on this agent."),
                param("vm_id", "VmId", "Only about this microVM."),
                param("action_id", "ActionId", "Only about this action."),
                param("status", "TraceStatus", "Only those in which a step failed, or none did."),
                SINCE,
                UNTIL,
                param("q", "Text", "Only with this text in the name or an attribute of a step."),
                param(
                    "min_duration",
                    "Duration",
                    "Only those that took at least so long: 250ms, 1.5s, 1h30m.",
                ),
            ],
            handler!(traces::list),
        ),
        Route {
            params: vec![
                param("trace_id", "TraceIdPrefix", "The trace, by its id or the first digits of it."),
                param("format", "TraceFormat", "json, or otlp for a collector, or chrome for Perfetto."),
            ],
            ..get(
                "/v1/traces/{trace_id}",
                "A trace with its steps, as much of it as is the caller's tenant's.",
                "TraceAnswer",
                handler!(traces::show),
            )
        },
        list(
            "/v1/logs",
            "Lines of the log of an agent, asked over its link, newest first; with follow=true those that come, as \
             server-sent events named log. Without agent_id that of the control plane itself, which is for an admin of the \
             tenant default on the local port only.",
            "LogLineList",
            vec![
                param("agent_id", "AgentId", "Of this agent."),
                param("q", "Text", "With this text in the message or in a field."),
                param("component", "Name", "Of this part."),
                param("level", "LogLevel", "Of this level and of more severe ones."),
                param("action_id", "ActionId", "Of this action."),
                param("trace_id", "TraceId", "Of this trace."),
                param("since", "Text", "Not before this time: RFC 3339, or how long ago, as 6h."),
                param("until", "Text", "Before this time."),
                param("follow", "Flag", "New lines as they come, after the newest `limit` that are there."),
            ],
            handler!(logs::list),
        ),
    ]
}
