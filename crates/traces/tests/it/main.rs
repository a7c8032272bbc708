//! Traces as their user sees them.

mod critical;
mod gathering;
mod sampling;
mod spans;
mod trees;
mod world;
