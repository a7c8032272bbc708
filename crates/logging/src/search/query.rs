//! What is searched for.

use jiff::Timestamp;

use super::cursor::Cursor;
use super::gather::ANSWER_MAX_BYTES;
use crate::level::LogLevel;

/// Most lines of an answer.
const LIMIT_MAX: usize = 1_000;
/// Longest text, component, or name or value of an id, in bytes.
const TEXT_MAX_BYTES: usize = 1_024;
/// Most ids.
const IDS_MAX: usize = 16;
/// Keys at the top of a line that are no ids, and the parameter that asks for each.
const NO_IDS: [(&str, &str); 5] = [
    ("timestamp", "since"),
    ("level", "level"),
    ("component", "component"),
    ("message", "text"),
    ("fields", "text"),
];

/// The order of an answer: as lines were written, which is nearly that of their timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// What is searched for. A line has to match all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Stands in the message or in the value of a field, letter by letter. Numbers are compared as they are written.
    pub text: Option<String>,
    /// The whole component.
    pub component: Option<String>,
    /// This level or a more severe one.
    pub level: Option<LogLevel>,
    /// Keys at the top of a line and their whole values, as `action_id` and `trace_id`.
    pub ids: Vec<(String, String)>,
    /// Lines of this time and later.
    pub since: Option<Timestamp>,
    /// Lines before this time.
    pub until: Option<Timestamp>,
    pub order: Order,
    /// Most lines of the answer, 1 to 1,000.
    pub limit: usize,
    /// Most bytes of the lines of the answer, line feeds not counted; never more than 8 MiB. A line that is longer by itself
    /// comes alone: one has at most 1 MiB in its file, and thrice as much where it is not UTF-8.
    pub max_bytes: usize,
    /// Where an earlier answer ended.
    pub cursor: Option<Cursor>,
    /// Nothing before this place of the log, whatever its lines say of their time. Where all files are older than it, they
    /// were begun anew since, and all of them count.
    pub from: Option<Cursor>,
}

impl Default for Query {
    /// The newest 100 lines.
    fn default() -> Self {
        Self {
            text: None,
            component: None,
            level: None,
            ids: Vec::new(),
            since: None,
            until: None,
            order: Order::NewestFirst,
            limit: 100,
            max_bytes: ANSWER_MAX_BYTES,
            cursor: None,
            from: None,
        }
    }
}

/// A query makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("`{parameter}` is empty: give what to search for, or leave it away")]
    Empty { parameter: String },
    #[error("`{parameter}` has {bytes} bytes, at most {TEXT_MAX_BYTES} are searched for: give a part of it")]
    TooLong { parameter: String, bytes: usize },
    #[error("`ids` are {found}, at most {IDS_MAX} are taken: search by fewer")]
    TooManyIds { found: usize },
    #[error("`{name}` is no id: search for it by `{instead}`")]
    NoId { name: String, instead: &'static str },
    #[error("`since` is {since}, which is not before `until`, {until}: swap them, or leave one away")]
    EmptyRange { since: Timestamp, until: Timestamp },
    #[error("`limit` is {found}: give 1 to {LIMIT_MAX}, and go on with the answer's cursor")]
    Limit { found: usize },
    #[error(
        "`cursor` is `{text}`, which is none: give that of the last answer as it stands, or none to begin anew"
    )]
    Cursor { text: String },
    #[error("`cursor` is of an answer in the other order: ask in that order, or without it to begin anew")]
    CursorOrder,
}

impl QueryError {
    /// Which part of the query is wrong.
    pub fn parameter(&self) -> &str {
        match self {
            Self::Empty { parameter } | Self::TooLong { parameter, .. } => parameter,
            Self::TooManyIds { .. } => "ids",
            Self::NoId { name, .. } => name,
            Self::EmptyRange { .. } => "since",
            Self::Limit { .. } => "limit",
            Self::Cursor { .. } | Self::CursorOrder => "cursor",
        }
    }
}

impl Query {
    /// Whether the query makes sense.
    ///
    /// # Errors
    /// When it does not: with the parameter and what to do instead.
    pub fn check(&self) -> Result<(), QueryError> {
        let ids = self.ids.iter().flat_map(|(name, value)| [("ids", name), (name.as_str(), value)]);
        let texts = [("text", &self.text), ("component", &self.component)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        for (name, text) in texts.chain(ids) {
            let parameter = || name.chars().take(64).collect();
            if text.is_empty() {
                return Err(QueryError::Empty { parameter: parameter() });
            }
            if text.len() > TEXT_MAX_BYTES {
                return Err(QueryError::TooLong { parameter: parameter(), bytes: text.len() });
            }
        }
        if self.ids.len() > IDS_MAX {
            return Err(QueryError::TooManyIds { found: self.ids.len() });
        }
        for (name, instead) in NO_IDS {
            if self.ids.iter().any(|(asked, _)| asked == name) {
                return Err(QueryError::NoId { name: name.to_owned(), instead });
            }
        }
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(QueryError::EmptyRange { since, until });
        }
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(QueryError::Limit { found: self.limit });
        }
        match &self.cursor {
            Some(cursor) if cursor.order != self.order => Err(QueryError::CursorOrder),
            Some(_) | None => Ok(()),
        }
    }
}
