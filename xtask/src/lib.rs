//! Every workflow of the project, one module a command.
//!
//! What can be decided without running anything (the layers, the house rules, the tables) is in functions that tests
//! call; the commands print and run other programs.

#![expect(clippy::print_stdout, reason = "workflows speak to the person who started them")]

pub mod agent;
pub mod bench;
pub mod chaos;
pub mod codegen;
pub mod collector;
pub mod coverage;
pub mod demo;
pub mod fleet;
pub mod interrupt;
pub mod layers;
pub mod lint;
pub mod load;
pub mod setup;
pub mod shell;
pub mod test;
