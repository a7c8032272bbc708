//! The gRPC wire between agents and their control plane.
//!
//! The principal types are [`Connection`], an agent's end, and [`AgentCalls`], what a control plane answers;
//! [`router`] serves it. Both ends speak in [`message`]s made of domain values; nobody else sees the generated types.
//! The contract itself is `proto/nkudo/agent/v1/agent.proto`.
//!
//! **Invariant:** what comes from the wire is checked once, here; a value that is not valid is an error with the
//! field's path, never a default. Only the end of an action is always taken up: what cannot be read of it is said there.
//! **Invariant:** who the caller is comes from its certificate, never from a message.

mod connect;
mod convert;
mod error;
#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
#[rustfmt::skip]
mod generated;
pub mod message;
mod server;
mod trace_context;

pub use connect::{ConnectError, Connection, LinkReceiver, LinkSender, Room, Target};
pub use convert::{Heard, WireError};
pub use error::{RpcError, RpcErrorKind};
pub use server::{AgentCalls, Caller, FromAgentStream, ToAgentStream, router};

/// Longest message in either direction, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 4 << 20;
