//! The operators' side: one table of routes, from which the router, its checks and the OpenAPI document are made.

mod access;
mod actions;
mod agents;
mod answer;
mod auth;
mod events;
mod executions;
mod health;
mod identity;
mod logs;
pub mod openapi;
mod outages;
mod query;
mod routes;
mod schema;
mod service;
mod traces;
mod vms;

pub(crate) use answer::Refused;
pub(crate) use service::{Port, router};
