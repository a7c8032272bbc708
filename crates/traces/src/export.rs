//! Forms in which traces leave and come.

pub mod chrome;
pub mod otlp;

use nkudo_spans::{AttributeValue, FinishedSpan};

/// The attribute that names the program of a span where spans of several are together.
const SERVICE: &str = "service.name";

/// The program that a span names as its own.
fn service(span: &FinishedSpan) -> Option<&str> {
    match span.attribute(SERVICE)? {
        AttributeValue::Text(service) => Some(service),
        AttributeValue::Integer(_) | AttributeValue::Float(_) | AttributeValue::Bool(_) => None,
    }
}
