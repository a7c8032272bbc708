//! The built program against a server that plays the control plane.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod harness;
mod lists;
mod secure;
mod settings;
mod traces;
mod waiting;
