//! The body that sets the log's level: `{"level": "debug"}`.

use serde_json::Value;

use crate::fields::{Faults, Fields};
use crate::problem::FieldError;

/// The level that is asked for; whether it is one is for the log to say.
pub fn parse(value: &Value) -> Result<String, Vec<FieldError>> {
    let mut faults = Faults::default();
    let mut fields = Fields::of(value, "", &mut faults);
    let level = fields.text("level", &mut faults);
    let level = fields.require("level", level, &mut faults).map(str::to_owned);
    fields.finish(&mut faults);
    match level {
        Some(level) if faults.is_empty() => Ok(level),
        Some(_) | None => Err(faults.into_inner()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn faults_are_told_with_their_path() {
        let path = |body: Value| parse(&body).map_err(|faults| faults[0].path.clone());
        assert_eq!(path(json!({"level": "debug"})), Ok("debug".to_owned()));
        assert_eq!(path(json!({})), Err("level".to_owned()));
        assert_eq!(path(json!({"level": 3})), Err("level".to_owned()));
        assert_eq!(path(json!({"level": "debug", "x": 1})), Err("x".to_owned()));
    }
}
