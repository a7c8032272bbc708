//! From a request to its answer: routing, identity, parameters, body, and what is measured of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use nkudo_domain::TenantId;
use nkudo_exporter::{Answers, ProbeAnswer, Probes};
use nkudo_metrics_core::Registry;
use nkudo_pki::AgentIdentity;
use nkudo_rpc::Caller;
use tracing::Instrument;
use tracing::field::Empty;

use super::answer::{self, Answered, Refused};
use super::auth::{self, Denied, Principal};
use super::openapi;
use super::query::Params;
use super::routes::{Access, Call, Route, routes};
use crate::control::Control;

/// The label of requests to a path that is no route.
const NO_ROUTE: &str = "unknown";
/// Paths that machines ask for all the time.
const PROBED: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
/// What shows traces: a list of traces that grows with every look at it shows little else.
const OF_TRACES: [&str; 2] = ["/v1/traces", "/v1/traces/{trace_id}"];
/// Longest correlation id that is carried on, in bytes.
const REQUEST_ID_MAX_BYTES: usize = 128;

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// For anybody who reaches it: metrics need a key.
    Tls,
    /// For the local operator.
    Plain,
}

/// What every handler gets.
#[derive(Clone)]
struct Service {
    control: Arc<Control>,
    answers: Answers,
    port: Port,
}

/// Everything but gRPC.
pub(crate) fn router(control: &Arc<Control>, registry: &Registry, port: Port) -> Router {
    let answers = Answers::new(registry.clone(), probes(control));
    let service = Service { control: Arc::clone(control), answers, port };
    let mut router: Router = Router::new();
    let mut by_path: Vec<(&'static str, MethodRouter)> = Vec::new();
    for route in routes() {
        let (path, filter) = (route.path, filter(&route.method));
        let (route, service) = (Arc::new(route), service.clone());
        let handler = move |values: Result<RawPathParams, RawPathParamsRejection>, request: Request| {
            let (route, service) = (Arc::clone(&route), service.clone());
            async move {
                service.measured(route.path, request, |request| service.route(&route, values, request)).await
            }
        };
        let handler = on(filter, handler);
        match by_path.iter_mut().find(|(known, _)| *known == path) {
            Some((_, methods)) => *methods = std::mem::take(methods).merge(handler),
            None => by_path.push((path, handler)),
        }
    }
    for (path, methods) in by_path {
        let service = service.clone();
        let refused = move |request: Request| {
            let service = service.clone();
            async move {
                service.measured(path, request, |request| async move { method_not_allowed(&request) }).await
            }
        };
        router = router.route(path, methods.fallback(refused));
    }
    for path in PROBED.into_iter().chain(["/openapi.json"]) {
        let service = service.clone();
        let handler = move |request: Request| {
            let service = service.clone();
            async move { service.measured(path, request, |request| service.plain(request, path)).await }
        };
        router = router.route(path, axum::routing::any(handler));
    }
    router.fallback(move |request: Request| {
        let service = service.clone();
        async move { service.measured(NO_ROUTE, request, |request| service.unknown(request)).await }
    })
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("the table of routes has methods that axum knows")
}

fn probes(control: &Arc<Control>) -> Probes {
    let health = {
        let control = Arc::clone(control);
        move || {
            let overall = control.supervisor.health().overall;
            ProbeAnswer { ok: !overall.is_unhealthy(), body: format!("{}\n", overall.as_str()) }
        }
    };
    let ready = {
        let control = Arc::clone(control);
        move || {
            let (ok, body) = if control.shutdown.is_cancelled() {
                (false, "not ready: stopping\n")
            } else if control.ready.load(Ordering::Acquire) {
                (true, "ready\n")
            } else {
                (false, "not ready: the database does not answer or cannot be written\n")
            };
            ProbeAnswer { ok, body: body.to_owned() }
        }
    };
    Probes { health: Arc::new(health), ready: Arc::new(ready) }
}

fn method_not_allowed(request: &Request) -> Answered {
    let detail = format!("{} does not take {}", request.uri().path(), request.method());
    Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, detail))
}

impl Service {
    /// Answers within a span of its own, and counts.
    async fn measured<F: Future<Output = Answered>>(
        &self,
        route: &'static str,
        request: Request,
        answer: impl FnOnce(Request) -> F,
    ) -> Response {
        let started = Instant::now();
        let method = method_name(request.method());
        let request_bytes = announced(request.headers());
        let span = span_of(&request, method, route);
        let answered = answer(request).instrument(span.clone()).await;
        let response = answered.unwrap_or_else(IntoResponse::into_response);
        let status = response.status().as_u16();
        let response_bytes = response.body().size_hint().exact();
        self.control.metrics.request(method, route, status, started.elapsed(), request_bytes, response_bytes);
        span.record("status", status);
        if response.status().is_server_error() {
            span.record("error", response.status().canonical_reason().unwrap_or("unknown status"));
        }
        span.in_scope(|| {
            let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(status, duration_ms, "request answered");
        });
        response
    }

    /// A request to a route of the table.
    async fn route(
        &self,
        route: &Route,
        values: Result<RawPathParams, RawPathParamsRejection>,
        request: Request,
    ) -> Answered {
        let (head, body) = request.into_parts();
        let caller = head.extensions.get::<Caller>().cloned();
        let principal = match self.admit(route.access, &head.headers, caller.as_ref()).await {
            Ok(principal) => principal,
            Err(denied) => return Err(self.on_record(denied, &head.headers, route.path).await),
        };
        let (known, certified) = (principal.clone(), caller.clone().and_then(|caller| caller.peer));
        // Somebody without a key is told that first.
        let values = values.map_err(|error| Refused::invalid("", error.body_text()))?;
        let values = values.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let query: Vec<_> =
            route.params.iter().filter(|param| !in_path(route.path, param.name)).copied().collect();
        let params = Params::read(values, &head.uri, &query, route.paged)?;
        let body = answer::body(body).await?;
        let control = Arc::clone(&self.control);
        let answered = (route.handler)(Call {
            control,
            principal,
            caller,
            port: self.port,
            params,
            headers: head.headers,
            body,
        });
        // What only reads ends with its caller.
        let answered = if route.method == Method::GET {
            answered.await
        } else {
            self.control.deeds.finish(answered).await
        };
        match (answered, known) {
            // Some see only from what was asked for that it is not for this key.
            (Err(refused), Some(principal)) if refused.0.status == StatusCode::FORBIDDEN => {
                self.forbidden(&refused, &principal, route.path).await;
                Err(refused)
            }
            // A certificate has been looked up before this is said of what its agent asks for.
            (Err(refused), None) if refused.0.status == StatusCode::FORBIDDEN => {
                if let Some(AgentIdentity { tenant_id, agent_id, .. }) = certified.map(|peer| peer.identity) {
                    let why = refused.0.detail.clone();
                    self.control
                        .audit
                        .access_forbidden(&agent_id.to_string(), &tenant_id, route.path, why)
                        .await;
                }
                Err(refused)
            }
            (answered, _) => answered,
        }
    }

    /// Whether the caller may ask at all; whoever shows a key is known from here on.
    async fn admit(
        &self,
        access: Access,
        headers: &HeaderMap,
        caller: Option<&Caller>,
    ) -> Result<Option<Principal>, Denied> {
        let certified = caller.is_some_and(|caller| caller.peer.is_some());
        let role = match access {
            Access::Role(role) => role,
            Access::AgentOr(_) | Access::Agent
                if certified && !headers.contains_key(header::AUTHORIZATION) =>
            {
                return Ok(None);
            }
            Access::AgentOr(role) => role,
            Access::Agent => {
                // Who shows a key is told that it does not help here.
                let principal = auth::authenticate(&self.control, headers).await?;
                let detail = "this is for an agent, by its own certificate on the TLS port; \
                     run edge-agent renew on its host";
                return Err(principal.denied(Refused::new(StatusCode::FORBIDDEN, detail)));
            }
        };
        let principal = auth::authenticate(&self.control, headers).await?;
        match principal.may(role) {
            Ok(()) => Ok(Some(principal)),
            Err(refused) => Err(principal.denied(refused)),
        }
    }

    /// Who was let in nowhere is on record before they are told.
    async fn on_record(&self, denied: Denied, headers: &HeaderMap, route: &'static str) -> Refused {
        let Denied { refused, principal } = denied;
        match principal {
            Some(principal) => self.forbidden(&refused, &principal, route).await,
            None if refused.0.status == StatusCode::UNAUTHORIZED => {
                let (key_id, why) = (auth::shown_key_id(headers), refused.0.detail.clone());
                self.control.audit.access_unauthorized(key_id, route, why).await;
            }
            // The books did not answer, for example.
            None => {}
        }
        refused
    }

    async fn forbidden(&self, refused: &Refused, principal: &Principal, route: &'static str) {
        let (Principal { key_id, tenant_id, .. }, why) = (principal, refused.0.detail.clone());
        self.control.audit.access_forbidden(key_id, tenant_id, route, why).await;
    }

    /// The paths that need no key on the local port.
    async fn plain(&self, request: Request, route: &'static str) -> Answered {
        let (head, _) = request.into_parts();
        let path = head.uri.path();
        if path == "/openapi.json" {
            return answer::json(StatusCode::OK, &openapi::document());
        }
        if path == "/metrics"
            && self.port == Port::Tls
            && let Err(denied) = self.may_see_metrics(&head.headers).await
        {
            return Err(self.on_record(denied, &head.headers, route).await);
        }
        let answer = self.answers.answer(&head.method, path, &head.headers).await;
        Ok(answer.map(Body::new))
    }

    async fn may_see_metrics(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let principal = auth::authenticate(&self.control, headers).await?;
        if principal.tenant_id == TenantId::default() {
            return Ok(());
        }
        let detail = "the metrics are of all tenants; they need a key of the tenant `default`";
        Err(principal.denied(Refused::new(StatusCode::FORBIDDEN, detail)))
    }

    /// A path that is no route. Under /v1 nobody learns that without a key.
    async fn unknown(&self, request: Request) -> Answered {
        let uri: Uri = request.uri().clone();
        if uri.path().starts_with("/v1/")
            && let Err(refused) = auth::authenticate(&self.control, request.headers()).await
        {
            return Err(self.on_record(refused.into(), request.headers(), NO_ROUTE).await);
        }
        let path: String = uri.path().chars().take(256).collect();
        Err(Refused::not_found(format!("there is no {path}; /openapi.json lists what there is")))
    }
}

/// Whether a parameter is a value of the path.
pub(super) fn in_path(path: &str, name: &str) -> bool {
    path.split('/').any(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) == Some(name))
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The size that a request says its body has, in bytes.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The span of a request: of the trace that its caller names, or of a new one.
fn span_of(request: &Request, method: &'static str, route: &'static str) -> tracing::Span {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let parent: Option<nkudo_spans::Traceparent> = text("traceparent").and_then(|text| text.parse().ok());
    if PROBED.contains(&route) || OF_TRACES.contains(&route) {
        // The former are asked for every few seconds by machines.
        return tracing::debug_span!("http_request", otel.kind = "server", method, route, status = Empty);
    }
    tracing::info_span!(
        "http_request",
        otel.kind = "server",
        trace_id = parent.map(|parent| tracing::field::display(parent.trace_id)),
        parent_span_id = parent.map(|parent| tracing::field::display(parent.parent_id)),
        correlation_id = request_id(request.headers()),
        method,
        route,
        // Known once the caller is, and what is asked for.
        tenant_id = Empty,
        action_id = Empty,
        vm_id = Empty,
        status = Empty,
        error = Empty,
    )
}

/// The id that a caller gives its request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (!id.is_empty() && id.len() <= REQUEST_ID_MAX_BYTES).then_some(id)
}

#[cfg(test)]
mod tests;
