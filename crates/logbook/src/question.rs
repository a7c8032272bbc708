//! A question to a log, from the parameters of a request.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use nkudo_api::time::{WallTime, moment, no_moment};
use nkudo_api::{FieldError, nearest};
use nkudo_domain::{ActionId, TraceId};
use nkudo_logging::{Cursor, LogLevel, Order, Query, QueryError};

/// Lines of a page where nobody says how many.
const LIMIT_DEFAULT: usize = 100;
/// Most bytes of the lines of a page.
const PAGE_MAX_BYTES: usize = 8 << 20;

/// A question that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In a page the newest line comes first. With `follow` the limit is how many lines that are there already come before
    /// the new ones; 0 where nobody says.
    pub query: Query,
    /// Whether new lines are wanted as they come.
    pub follow: bool,
}

impl Question {
    /// Every parameter. Times are RFC 3339 or how long ago.
    pub const PARAMETERS: [&str; 10] =
        ["q", "component", "level", "action_id", "trace_id", "since", "until", "limit", "cursor", "follow"];

    /// Reads the parameters; `now_ms` is in Unix milliseconds.
    ///
    /// # Errors
    /// Every parameter that is not understood, with the remedy.
    pub fn read(parameters: &BTreeMap<String, String>, now_ms: i64) -> Result<Self, Vec<FieldError>> {
        Self::read_in(Order::NewestFirst, parameters, now_ms)
    }

    /// As [`read`](Self::read), in an order that the parameters do not tell.
    ///
    /// # Errors
    /// As [`read`](Self::read); a cursor has to be of that order.
    pub fn read_in(
        order: Order,
        parameters: &BTreeMap<String, String>,
        now_ms: i64,
    ) -> Result<Self, Vec<FieldError>> {
        let mut reader = Reader { parameters, faults: Vec::new() };
        for unknown in parameters.keys().filter(|name| !Self::PARAMETERS.contains(&name.as_str())) {
            let hint = nearest(unknown, Self::PARAMETERS).map_or_else(
                || format!("known here: {}", Self::PARAMETERS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            reader.fault(
                &unknown.chars().take(64).collect::<String>(),
                format!("is not a known parameter; {hint}"),
            );
        }
        let follow = reader.read("follow", |text| {
            text.parse().map_err(|_| format!("must be true or false, not `{}`", shown(text)))
        });
        let follow = follow.unwrap_or(false);
        let limit = reader.read("limit", |text| {
            text.parse().map_err(|_| format!("must be a whole number, not `{}`", shown(text)))
        });
        let mut ids = Vec::new();
        if let Some(action_id) = reader.parse::<ActionId>("action_id") {
            ids.push(("action_id".to_owned(), action_id.to_string()));
        }
        if let Some(trace_id) = reader.parse::<TraceId>("trace_id") {
            ids.push(("trace_id".to_owned(), trace_id.to_string()));
        }
        let query = Query {
            text: parameters.get("q").cloned(),
            component: reader.read("component", component),
            level: reader.parse::<LogLevel>("level"),
            ids,
            since: reader.time("since", now_ms),
            until: reader.time("until", now_ms),
            order,
            limit: limit.unwrap_or(if follow { 0 } else { LIMIT_DEFAULT }),
            max_bytes: PAGE_MAX_BYTES,
            cursor: reader.parse::<Cursor>("cursor"),
            // Whoever asks has no say in it.
            from: None,
        };
        if follow && query.cursor.is_some() {
            reader.fault("cursor", "is of pages; whoever follows gets what comes from now on".to_owned());
        }
        if follow && parameters.contains_key("until") {
            let detail = "is of pages; whoever follows gets what comes from now on, without an end";
            reader.fault("until", detail.to_owned());
        }
        // Following may begin with no line.
        let checked = Query { limit: query.limit.max(usize::from(follow)), ..query.clone() };
        if let Err(error) = checked.check() {
            reader.refused(&error);
        }
        if reader.faults.is_empty() { Ok(Self { query, follow }) } else { Err(reader.faults) }
    }

    /// The same question as parameters: its times no longer depend on when it is asked.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let Query {
            text,
            component,
            level,
            ids,
            since,
            until,
            order: _,
            limit,
            max_bytes: _,
            cursor,
            from: _,
        } = &self.query;
        let given = [
            ("q", text.clone()),
            ("component", component.clone()),
            ("level", level.map(|level| level.as_str().to_owned())),
            ("since", since.map(time_text)),
            ("until", until.map(time_text)),
            ("limit", Some(limit.to_string())),
            ("cursor", cursor.map(|cursor| cursor.to_string())),
            ("follow", self.follow.then(|| "true".to_owned())),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        given.chain(ids.iter().cloned()).collect()
    }
}

struct Reader<'p> {
    parameters: &'p BTreeMap<String, String>,
    faults: Vec<FieldError>,
}

impl Reader<'_> {
    fn fault(&mut self, path: &str, detail: String) {
        self.faults.push(FieldError { path: path.to_owned(), detail });
    }

    fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = read(self.parameters.get(name)?);
        value.map_err(|detail| self.fault(name, detail)).ok()
    }

    fn parse<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        self.read(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    fn time(&mut self, name: &str, now_ms: i64) -> Option<Timestamp> {
        self.read(name, |text| {
            let at_ms = moment(text, now_ms).ok_or_else(|| no_moment(text))?;
            Timestamp::from_millisecond(at_ms).map_err(|_| no_moment(text))
        })
    }

    /// Tells what the search does not take, by the name of the parameter here.
    fn refused(&mut self, error: &QueryError) {
        let (path, detail) = match error.parameter() {
            "text" => ("q", error.to_string().replace("`text`", "`q`")),
            path => (path, error.to_string()),
        };
        // What could not be read has been told.
        if !self.faults.iter().any(|fault| fault.path == path) {
            self.fault(path, detail);
        }
    }
}

/// A component is one word.
fn component(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(is_plain) {
        let shown = shown(text);
        return Err(format!(
            "`{shown}` is no component; it is one word, as `executor` in the lines of the log"
        ));
    }
    Ok(text.to_owned())
}

fn time_text(at: Timestamp) -> String {
    WallTime(at.as_millisecond()).to_string()
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
