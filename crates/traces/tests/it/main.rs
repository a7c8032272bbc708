//! Traces as their user sees them.

mod chrome;
mod counting;
mod critical;
mod damage;
mod drawing;
mod faults;
mod full_disk;
mod gathering;
mod killed;
mod otlp;
mod sampling;
mod searching;
mod spans;
mod trees;
mod world;
