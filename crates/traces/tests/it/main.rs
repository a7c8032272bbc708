//! Traces as their user sees them.

mod critical;
mod sampling;
mod spans;
mod trees;
