//! Traces as their user sees them.

mod critical;
mod damage;
mod drawing;
mod faults;
mod full_disk;
mod gathering;
mod killed;
mod sampling;
mod searching;
mod spans;
mod trees;
mod world;
