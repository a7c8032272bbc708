//! An `apply` file: one action, a list, or `{"actions": [...]}`, in JSON or TOML.

use nkudo_domain::Action;
use serde_json::Value;

use crate::action::{self, Origin};
use crate::body::{self, BodyError};
use crate::problem::FieldError;

/// Most actions of one file.
const ACTIONS_MAX: usize = 10_000;

/// The language of an `apply` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Json,
    Toml,
}

impl FileFormat {
    /// By the file's extension; other names and standard input by what the text looks like: TOML has a line with a
    /// table's head or a key's `=` first, everything else is taken for JSON.
    pub fn detect(extension: Option<&str>, text: &str) -> Self {
        let text = text.trim_start_matches(BYTE_ORDER_MARK);
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        match (extension, first) {
            (Some("toml"), _) => Self::Toml,
            (Some("json"), _) | (_, None) => Self::Json,
            (_, Some(line)) if line.starts_with("[[") && line.ends_with("]]") => Self::Toml,
            (_, Some(line)) if line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains('=') => {
                Self::Toml
            }
            (_, Some(_)) => Self::Json,
        }
    }
}

/// What some editors put before a text, and what means nothing.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("it is not TOML: {0}")]
    NotToml(String),
    #[error("it has no action; write one, a list, or {{\"actions\": [...]}}")]
    Empty,
    #[error("it has more than {ACTIONS_MAX} actions")]
    TooMany,
    #[error("it is not valid{}", listed(.0))]
    Invalid(Vec<FieldError>),
}

/// Reads every action of a file; nothing is returned unless all of them are valid.
pub fn parse(
    text: &str,
    format: FileFormat,
    mut origin: impl FnMut() -> Origin,
) -> Result<Vec<Action>, FileError> {
    let text = text.trim_start_matches(BYTE_ORDER_MARK);
    let value: Value = match format {
        FileFormat::Json => body::read(text.as_bytes()).map_err(|error| match error {
            BodyError::NotJson(why) => FileError::NotJson(why),
            BodyError::Twice(fault) => FileError::Invalid(vec![fault]),
        })?,
        FileFormat::Toml => toml::from_str(text)
            .map_err(|error| FileError::NotToml(error.to_string().trim_end().to_owned()))?,
    };
    let (prefix, values) = match &value {
        Value::Array(list) => ("", list.as_slice()),
        Value::Object(object) if object.contains_key("actions") => {
            if let Some(other) = object.keys().find(|key| *key != "actions") {
                let detail = "is not a known field beside `actions`".to_owned();
                return Err(FileError::Invalid(vec![FieldError { path: other.clone(), detail }]));
            }
            match &object["actions"] {
                Value::Array(list) => ("actions", list.as_slice()),
                other => {
                    let detail = format!("must be a list, not {}", crate::fields::kind(other));
                    return Err(FileError::Invalid(vec![FieldError { path: "actions".to_owned(), detail }]));
                }
            }
        }
        one => ("", std::slice::from_ref(one)),
    };
    if values.is_empty() {
        return Err(FileError::Empty);
    }
    if values.len() > ACTIONS_MAX {
        return Err(FileError::TooMany);
    }
    let listed = value.is_array() || prefix == "actions";
    let mut actions = Vec::with_capacity(values.len());
    let mut faults = Vec::new();
    for (index, value) in values.iter().enumerate() {
        match action::parse(value, "", origin()) {
            Ok(action) => actions.push(action),
            Err(found) if listed => faults.extend(found.into_iter().map(|fault| FieldError {
                path: format!(
                    "{prefix}[{index}]{}{}",
                    if fault.path.is_empty() { "" } else { "." },
                    fault.path
                ),
                detail: fault.detail,
            })),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(actions) } else { Err(FileError::Invalid(faults)) }
}

fn listed(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str =
        r#"{"action_type":"MicroVMStart","params":{"vm_id":"01890a5d-ac96-774b-bcce-b302099a8057"}}"#;
    const TOML: &str = "[[actions]]\naction_type = \"MicroVMStart\"\n[actions.params]\nvm_id = \"01890a5d-ac96-774b-bcce-b302099a8057\"\n";

    fn read(text: &str, extension: Option<&str>) -> Result<usize, FileError> {
        let origin = || Origin {
            action_id: "made".parse().unwrap(),
            trace_id: None,
            parent_span_id: None,
            correlation_id: None,
        };
        parse(text, FileFormat::detect(extension, text), origin).map(|actions| actions.len())
    }

    #[test]
    fn every_form_of_file_is_read() {
        assert_eq!(read(START, Some("json")), Ok(1));
        assert_eq!(read(START, None), Ok(1));
        assert_eq!(read(&format!("[{START},{START}]"), None), Ok(2));
        assert_eq!(read(&format!("{{\"actions\":[{START}]}}"), None), Ok(1));
        assert_eq!(read(TOML, Some("toml")), Ok(1));
        assert_eq!(read(TOML, None), Ok(1));
        assert_eq!(read(&format!("# a comment\n\n{TOML}"), None), Ok(1));
        assert_eq!(read(&format!("\u{feff}{START}"), None), Ok(1));
        assert!(matches!(read("null", None), Err(FileError::Invalid(_))));
        assert!(matches!(read("nonsense", None), Err(FileError::NotJson(_))));
        assert!(matches!(read("", None), Err(FileError::NotJson(_))));
    }

    #[test]
    fn one_fault_refuses_the_whole_file() {
        let bad = START.replace("MicroVMStart", "Nonsense");
        let Err(FileError::Invalid(faults)) = read(&format!("[{START},{bad}]"), None) else {
            panic!("accepted")
        };
        assert_eq!(faults[0].path, "[1].action_type");
        let Err(FileError::Invalid(faults)) = read(&format!("{{\"actions\":[{bad}]}}"), None) else {
            panic!("accepted")
        };
        assert_eq!(faults[0].path, "actions[0].action_type");
        let stopped = START.replace("{\"action_type", "{\"action_type\":\"MicroVMStop\",\"action_type");
        let Err(FileError::Invalid(faults)) = read(&format!("[{START},{stopped}]"), None) else {
            panic!("accepted")
        };
        assert_eq!(faults[0].to_string(), "[1].action_type: is given twice");
        let twice = format!("action_type = \"MicroVMStop\"\n{}", TOML.replace("[[actions]]\n", ""));
        assert!(matches!(read(&twice, Some("toml")), Err(FileError::NotToml(_))));
        assert_eq!(read("[]", None), Err(FileError::Empty));
        assert!(matches!(read("{", None), Err(FileError::NotJson(_))));
        assert!(matches!(read("a = ", Some("toml")), Err(FileError::NotToml(_))));
        assert!(matches!(read("{\"actions\":[],\"extra\":1}", None), Err(FileError::Invalid(_))));
    }
}
