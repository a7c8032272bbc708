//! The JSON shapes of the outside contract: used by the local socket, `apply` files, the state file and the
//! command lines, so that each shape is written down once.
//!
//! What comes in is read by [`body::read`], [`action::parse`] and [`file::parse`] from loose JSON into `nkudo_domain` values, with
//! every fault named by the path of its field; what goes out are the structs of [`view`].
//!
//! **Invariant:** a field that is not known, or is given twice, is refused, never ignored.
//! **Invariant:** two bodies ask for the same exactly when they parse to equal values, defaults filled in.

pub mod action;
pub mod body;
mod fields;
pub mod file;
pub mod log_level;
mod problem;
pub mod request;
pub mod time;
pub mod trace_format;
pub mod trace_query;
pub mod view;

pub use nkudo_settings::nearest;
pub use problem::{FieldError, Problem};
