//! Forms in which traces leave and come.

pub mod chrome;
pub mod otlp;
