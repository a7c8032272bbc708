//! The OpenAPI document, made from the table of routes and the schemas of what goes in and out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::query::{LIMIT_MAX, Param};
use super::routes::{Access, Route, routes};
use super::schema;
use super::service::in_path;

/// The document (OpenAPI 3.1).
pub fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes() {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation(&route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "nkudo control plane",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Agents, their microVMs and their actions. Every list comes in pages: ask on with \
                            `next_cursor` until it is null.",
        },
        "paths": paths,
        "components": {
            "schemas": schema::all(),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
                "certificate": {"type": "mutualTLS", "description": "The certificate of an enrolled agent."},
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route.params.iter().map(|param| parameter(route, param)).collect();
    if route.paged {
        parameters.push(json!({"name": "limit", "in": "query", "description": "Most items of the page.",
            "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": 100}}));
        parameters.push(json!({"name": "cursor", "in": "query", "schema": schema::reference("Text"),
            "description": "Where the page starts: `next_cursor` of the page before."}));
    }
    let (status, answered) = route.success;
    let success = match answered {
        None => json!({"description": "Done."}),
        Some(name) => {
            let media =
                if route.path.ends_with("/events") { "text/event-stream" } else { "application/json" };
            json!({"description": "Done.", "content": {media: {"schema": schema::reference(name)}}})
        }
    };
    let problem = json!({"description": "A problem.",
        "content": {"application/problem+json": {"schema": schema::reference("Problem")}}});
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "parameters": parameters,
        "responses": {status.to_string(): success, "default": problem},
        "security": security(route.access),
    });
    if let Some(body) = route.body {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema::reference(body)}}});
    }
    if let Access::Role(role) | Access::AgentOr(role) = route.access {
        operation["x-role"] = json!(role.as_str());
    }
    operation
}

fn parameter(route: &Route, param: &Param) -> Value {
    let path = in_path(route.path, param.name);
    json!({
        "name": param.name,
        "in": if path { "path" } else { "query" },
        "required": path,
        "description": param.help,
        "schema": schema::reference(param.schema),
    })
}

fn security(access: Access) -> Value {
    match access {
        Access::Role(_) => json!([{"key": []}]),
        Access::AgentOr(_) => json!([{"key": []}, {"certificate": []}]),
        Access::Agent => json!([{"certificate": []}]),
    }
}

/// `get /v1/agents/{agent_id}` becomes `get_agents_agent_id`.
fn operation_id(route: &Route) -> String {
    let path: String = route
        .path
        .trim_start_matches("/v1/")
        .chars()
        .filter(|c| !matches!(c, '{' | '}'))
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("{}_{path}", route.method.as_str().to_ascii_lowercase())
}
