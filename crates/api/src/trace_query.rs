//! What is asked of traces, as REST has it: the parameters of a list, and the id of one.

use std::fmt::Display;
use std::str::FromStr;

use nkudo_domain::{ActionId, AgentId, VmId};
use nkudo_spans::TraceId;
use nkudo_traces::{Found, IdPrefix, Query, QueryError, parse_duration};

use crate::problem::FieldError;
use crate::time::WallTime;

/// What a list of traces takes on every host; a control plane also takes [`AGENT`].
pub const PARAMETERS: [&str; 9] =
    ["vm_id", "action_id", "status", "since", "until", "q", "min_duration", "limit", "cursor"];
/// Only traces with a span of this agent.
pub const AGENT: &str = "agent_id";

/// Most traces that are told where a beginning is of several.
const TOLD_MAX: usize = 3;

/// No trace can be told by what was given as its id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdFault {
    #[error("`{found}` is no trace id; give its 32 lower-case hexadecimal digits, or at least the first 6")]
    Nonsense { found: String },
    #[error("there is no trace {found}; only recent ones are kept")]
    Unknown { found: String },
    #[error("the ids of several traces begin with {found}: {}; give more digits", ids.join(", "))]
    Several { found: String, ids: Vec<String> },
}

/// What is given as the id of a trace: the id, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenId(IdPrefix);

impl Display for GivenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for GivenId {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        text.parse().map(Self).map_err(|_| IdFault::Nonsense { found: shown(text) })
    }
}

impl GivenId {
    /// The id, where it is given whole.
    pub fn whole(&self) -> Option<TraceId> {
        self.0.whole()
    }

    /// Finds the traces that may be meant.
    pub fn query(&self) -> Query {
        Query { id_prefix: Some(self.0), limit: TOLD_MAX, ..Query::default() }
    }

    /// The one trace among those that were found.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn among(&self, found: &Found) -> Result<TraceId, IdFault> {
        match &found.summaries[..] {
            [] => Err(self.unknown()),
            [one] => Ok(one.trace_id),
            several => {
                let ids = several.iter().map(|summary| summary.trace_id.to_string()).collect();
                Err(IdFault::Several { found: self.0.to_string(), ids })
            }
        }
    }

    pub fn unknown(&self) -> IdFault {
        IdFault::Unknown { found: self.0.to_string() }
    }
}

/// Reads what is asked of traces; `value` gives the text of a parameter. Those of `since` and `until` belong to it.
///
/// # Errors
/// Every fault, by the name of its parameter.
pub fn read<'v>(value: impl Fn(&str) -> Option<&'v str>) -> Result<Query, Vec<FieldError>> {
    let mut faults = Faults(Vec::new());
    let mut attributes = Vec::new();
    let of = |name: &str, id: Option<String>| Some((name.to_owned(), id?));
    let text = |id: &dyn Display| id.to_string();
    let vm_id: Option<VmId> = faults.parsed("vm_id", value("vm_id"));
    let action_id: Option<ActionId> = faults.parsed("action_id", value("action_id"));
    let agent_id: Option<AgentId> = faults.parsed(AGENT, value(AGENT));
    attributes.extend(of("vm_id", vm_id.map(|id| text(&id))));
    attributes.extend(of("action_id", action_id.map(|id| text(&id))));
    attributes.extend(of(AGENT, agent_id.map(|id| text(&id))));
    let since: Option<WallTime> = faults.parsed("since", value("since"));
    let until: Option<WallTime> = faults.parsed("until", value("until"));
    let duration = value("min_duration").map(|text| (text, parse_duration("min_duration", text).ok()));
    let min_duration = duration.and_then(|(text, duration)| {
        let how = || format!("must be a duration like 250ms, 1.5s or 1h30m, not `{}`", shown(text));
        duration.or_else(|| faults.add("min_duration", how()))
    });
    let limit = value("limit").map(|text| text.parse().unwrap_or_default());
    let query = Query {
        attributes,
        status: faults.told("status", value("status"), "must be ok or error"),
        since_unix_ns: since.map(|since| nanos(since.0).min(u64::MAX - 1)),
        // What began within this millisecond, too.
        until_unix_ns: until.map(|until| nanos(until.0.saturating_add(1)).max(1)),
        min_duration,
        text: value("q").map(str::to_owned),
        limit: limit.unwrap_or(Query::default().limit),
        cursor: faults.told("cursor", value("cursor"), "must be the next_cursor of the page before"),
        ..Query::default()
    };
    if let Err(error) = query.check() {
        let (parameter, detail) = fault(&error, value("limit"));
        faults.add::<()>(parameter, detail);
    }
    if faults.0.is_empty() { Ok(query) } else { Err(faults.0) }
}

/// What a query has no answer for, by the name of its parameter.
fn fault(error: &QueryError, limit: Option<&str>) -> (&'static str, String) {
    match error {
        QueryError::Limit { most, .. } => (
            "limit",
            format!("must be a whole number from 1 to {most}, not `{}`", shown(limit.unwrap_or("0"))),
        ),
        QueryError::Range => ("since", "must not be after until".to_owned()),
        QueryError::EmptyText => ("q", "is empty; leave it out, or give what to look for".to_owned()),
        QueryError::LongText { bytes, most } => ("q", format!("has {bytes} bytes; give at most {most}")),
        QueryError::Status { .. } => ("status", error.to_string()),
        QueryError::Cursor { .. } => ("cursor", error.to_string()),
        QueryError::IdPrefix { .. } => ("trace_id", error.to_string()),
        QueryError::Duration { .. } => ("min_duration", error.to_string()),
        QueryError::AttributeName | QueryError::TooMany { .. } => ("", error.to_string()),
    }
}

struct Faults(Vec<FieldError>);

impl Faults {
    fn add<T>(&mut self, parameter: &str, detail: String) -> Option<T> {
        self.0.push(FieldError { path: parameter.to_owned(), detail });
        None
    }

    /// A value in its type, whose error says what is wrong.
    fn parsed<T: FromStr<Err: Display>>(&mut self, parameter: &str, value: Option<&str>) -> Option<T> {
        value?.parse().map_or_else(|error: T::Err| self.add(parameter, error.to_string()), Some)
    }

    /// A value in its type, which must be so.
    fn told<T: FromStr>(&mut self, parameter: &str, value: Option<&str>, must: &str) -> Option<T> {
        let text = value?;
        text.parse().map_or_else(|_| self.add(parameter, format!("{must}, not `{}`", shown(text))), Some)
    }
}

/// The beginning of what was given.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// There is nothing before 1970.
fn nanos(unix_ms: i64) -> u64 {
    unix_ms.max(0).unsigned_abs().saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<Query, Vec<FieldError>> {
        let value = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        read(value)
    }

    #[test]
    fn every_parameter_narrows_the_query() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let query = asked(&[
            ("vm_id", id),
            ("action_id", "a-1"),
            ("agent_id", id),
            ("status", "error"),
            ("since", "2026-01-02T03:04:05Z"),
            ("until", "2026-01-02T03:04:05.000Z"),
            ("q", "no kernel"),
            ("min_duration", "1.5s"),
            ("limit", "7"),
        ]);
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = Query {
            attributes: vec![own("vm_id", id), own("action_id", "a-1"), own("agent_id", id)],
            status: Some(nkudo_traces::Status::Error),
            since_unix_ns: Some(1_767_323_045_000_000_000),
            until_unix_ns: Some(1_767_323_045_001_000_000),
            text: Some("no kernel".to_owned()),
            min_duration: Some(Duration::from_millis(1_500)),
            limit: 7,
            ..Query::default()
        };
        assert_eq!(query, Ok(expected));
        assert_eq!(asked(&[]), Ok(Query::default()));
        for (since, until) in [
            ("1960-01-01T00:00:00Z", "1965-01-01T00:00:00Z"),
            ("9999-01-01T00:00:00Z", "9999-02-01T00:00:00Z"),
        ] {
            assert!(asked(&[("since", since), ("until", until)]).is_ok(), "{since}");
        }
    }

    #[test]
    fn nonsense_is_told_by_the_name_of_its_parameter() {
        let long = "x".repeat(1_025);
        for (parameter, value, words) in [
            ("vm_id", "~~", "UUID"),
            ("agent_id", "web-1", "UUID"),
            ("action_id", "~~", ""),
            ("status", "failure", "must be ok or error, not `failure`"),
            ("since", "yesterday", "2026-01-02T03:04:05Z"),
            ("until", "", "2026-01-02T03:04:05Z"),
            ("q", "", "is empty"),
            ("q", &long, "at most 1024"),
            ("min_duration", "soon", "250ms"),
            ("limit", "0", "from 1 to 1000, not `0`"),
            ("limit", "many", "from 1 to 1000, not `many`"),
            ("limit", "1001", "from 1 to 1000, not `1001`"),
            ("cursor", "7", "next_cursor"),
        ] {
            let faults = asked(&[(parameter, value)]).expect_err(parameter);
            let [fault] = &faults[..] else { panic!("{faults:?}") };
            assert_eq!(fault.path, parameter);
            assert!(fault.detail.contains(words), "{fault}");
        }
        let range = [("since", "2026-01-02T03:04:06Z"), ("until", "2026-01-02T03:04:05Z")];
        assert_eq!(asked(&range).unwrap_err()[0].path, "since");
        assert_eq!(asked(&[("status", "~"), ("limit", "0")]).unwrap_err().len(), 2);
    }

    #[test]
    fn a_trace_is_told_by_the_beginning_of_its_id_where_that_is_only_its_own() {
        let given: GivenId = "4bf92f".parse().unwrap();
        let summary = |digit: u8| nkudo_traces::Summary {
            trace_id: TraceId::from_bytes([digit; 16]).unwrap(),
            name: "step".to_owned(),
            start_unix_ns: 1,
            duration_ns: 1,
            spans: 1,
            failed: false,
            error: None,
            slow_step: None,
        };
        let found = |digits: &[u8]| Found {
            summaries: digits.iter().copied().map(summary).collect(),
            ..Found::default()
        };
        assert_eq!(given.among(&found(&[7])).unwrap().to_bytes(), [7; 16]);
        assert_eq!(given.among(&found(&[])), Err(IdFault::Unknown { found: "4bf92f".to_owned() }));
        let several = given.among(&found(&[1, 2])).unwrap_err().to_string();
        assert!(several.contains(&"01".repeat(16)) && several.contains("give more digits"), "{several}");
        for nonsense in ["", "4bf92", "zzzzzz", "4BF92F", "4bf92f3577b34da6a3ce929d0e0e47360"] {
            assert!(matches!(nonsense.parse::<GivenId>(), Err(IdFault::Nonsense { .. })), "{nonsense}");
        }
    }
}
