//! Assembles the control plane.
//!
//! [`server::run`] is the server: it opens the books, the certificate authority and two ports, and serves agents (gRPC)
//! and operators (REST) until it is told to end. [`admin`] does on the data directory what needs no server: tokens,
//! keys, tenants. `grpc` is the agents' side with one session for each open link, `rest` the operators' side, made
//! from one table of routes that is also the OpenAPI document; `listen` takes connections, and `roster` knows which
//! agents are there.
//!
//! **Invariant:** an action is in the books before its id is answered, marked as sent before it is sent, and its end is
//! in the books before the agent is told that it may forget it.
//! **Invariant:** a request is answered from the tenant of its key, or of its certificate, and from no other.
//! **Invariant:** what changes something is done to its end with its line in the audit log, also when whoever asked hangs up.
//! **Invariant:** a certificate is looked up at every call: one that is revoked is refused, however old the connection.
//! **Invariant:** the control plane never guesses how an action ended that it has sent; only its agent knows.

pub mod admin;
pub mod audit;
pub mod config;
mod control;
pub mod data_dir;
mod deeds;
mod grpc;
mod housekeeping;
mod listen;
mod rest;
mod roster;
pub mod server;
mod traces;
#[cfg(test)]
mod world;

pub use rest::openapi;
