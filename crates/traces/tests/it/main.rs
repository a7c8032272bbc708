//! Traces as their user sees them.

mod critical;
mod damage;
mod faults;
mod full_disk;
mod gathering;
mod killed;
mod sampling;
mod spans;
mod trees;
mod world;
