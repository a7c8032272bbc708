//! Conditions on labels.

use regex::RegexBuilder;

/// The most memory that a pattern may take once it is compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 18;

/// A condition on a label. A label that is absent is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    pub condition: Condition,
}

/// What a label's value has to be, as PromQL's `=`, `!=`, `=~` and `!~`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Equal(String),
    NotEqual(String),
    Like(Pattern),
    NotLike(Pattern),
}

impl Condition {
    pub(crate) fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equal(wanted) => value == wanted,
            Self::NotEqual(unwanted) => value != unwanted,
            Self::Like(pattern) => pattern.matches(value),
            Self::NotLike(pattern) => !pattern.matches(value),
        }
    }
}

/// A regular expression that a whole value has to match, as PromQL has it; a `.` is any character, a new line too. The syntax
/// is that of the `regex` crate, which searches in time linear in the value and has no back references.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    whole: regex::Regex,
}

impl Pattern {
    /// # Errors
    /// When the text is no regular expression, or one that takes too much memory.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let compile = |text: &str| {
            let compiled = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
            compiled.map_err(|error| PatternError::of(&error))
        };
        // By itself first: `a)|(b` would be none, and in brackets it is another one.
        compile(text)?;
        Ok(Self { text: text.to_owned(), whole: compile(&format!("^(?s:{text})$"))? })
    }

    fn matches(&self, value: &str) -> bool {
        self.whole.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// A text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("no regular expression: {0}")]
    Syntax(String),
    #[error("a regular expression that takes more than {PATTERN_BYTES_MAX} bytes: take a shorter one")]
    TooLarge,
}

impl PatternError {
    fn of(error: &regex::Error) -> Self {
        match error {
            regex::Error::CompiledTooBig(_) => Self::TooLarge,
            // Its lines show the text with a mark below; the last one says what is wrong.
            error => {
                let told = error.to_string();
                let last = told.lines().next_back().unwrap_or_default();
                Self::Syntax(last.strip_prefix("error: ").unwrap_or(last).to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_values() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            let pattern = Pattern::new(pattern).unwrap();
            let found: Vec<_> =
                yes.iter().chain(no).copied().filter(|value| pattern.matches(value)).collect();
            assert_eq!(found, yes, "{pattern:?}");
        };
        check("a|ab", &["a", "ab"], &["", "abc", "ba"]);
        check("web-[0-9]+", &["web-1", "web-42"], &["web-", "my-web-1", "web-1\n"]);
        check(".*", &["", "a", "a\nb"], &[]);
        check("(?i)A", &["a", "A"], &["aa"]);
        check("", &[""], &["a"]);
        check(r"/a,b\.c", &["/a,b.c"], &["/a,bxc"]);
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let check = |text: &str, words: &str| {
            let told = Pattern::new(text).unwrap_err().to_string();
            assert!(told.contains(words) && !told.contains('\n'), "{text}: {told}");
        };
        check("(a", "unclosed group");
        check("a)|(b", "unopened group");
        check("*", "repetition operator missing");
        check(r"(a)\1", "backreferences are not supported");
        check(r"\pL{1000}", "262144 bytes");
    }
}
