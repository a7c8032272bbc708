//! How the parts of a program do, for people.

use nkudo_api::view::ComponentView;

use crate::failure::Failure;
use crate::print::{self, or_dash};

/// Prints the parts of a program as a table.
///
/// # Errors
/// When nobody reads it.
pub fn table(components: &[ComponentView]) -> Result<(), Failure> {
    let rows = components.iter().map(|component| {
        let ComponentView { component, health, reason, since, restarts } = component;
        vec![
            component.clone(),
            health.clone(),
            since.to_string(),
            restarts.to_string(),
            or_dash(reason.as_ref()),
        ]
    });
    print::table(&["component", "health", "since", "restarts", "reason"], rows)
}
