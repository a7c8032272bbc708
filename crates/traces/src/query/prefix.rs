//! The beginning of a trace's id: what people type.

use std::fmt;
use std::str::FromStr;

use nkudo_spans::TraceId;

use crate::error::QueryError;

/// Fewer digits are those of too many traces.
const DIGITS_MIN: usize = 6;
const DIGITS_MAX: usize = 32;

/// The first 6 to 32 digits of an id, in lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdPrefix {
    value: u128,
    digits: usize,
}

impl IdPrefix {
    /// Whether an id begins so.
    pub fn matches(&self, id: TraceId) -> bool {
        u128::from_be_bytes(id.to_bytes()) >> self.rest_bits() == self.value
    }

    /// The id, where these are all of its digits and it is one.
    pub fn whole(&self) -> Option<TraceId> {
        TraceId::from_bytes(self.value.to_be_bytes()).filter(|_| self.digits == DIGITS_MAX)
    }

    /// Less than all, as there are at least [`DIGITS_MIN`] digits.
    fn rest_bits(&self) -> usize {
        (DIGITS_MAX - self.digits) * 4
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.value, width = self.digits)
    }
}

impl FromStr for IdPrefix {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let wrong = || QueryError::IdPrefix { found: text.to_owned() };
        let is_digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_digits || !(DIGITS_MIN..=DIGITS_MAX).contains(&text.len()) {
            return Err(wrong());
        }
        let value = u128::from_str_radix(text, 16).map_err(|_| wrong())?;
        Ok(Self { value, digits: text.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_six_digits_or_more() {
        let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
        for (text, matches) in [
            ("4bf92f", true),
            ("4bf92f3577b34da6a3ce929d0e0e4736", true),
            ("4bf92e", false),
            ("bf92f3", false),
            ("000000", false),
        ] {
            let prefix: IdPrefix = text.parse().unwrap();
            assert_eq!((prefix.matches(id), prefix.to_string().as_str()), (matches, text));
            assert_eq!(prefix.whole(), Some(id).filter(|_| text.len() == 32));
        }
        let nonsense = [
            "",
            "4bf92",
            "4BF92F",
            "4bf92g",
            "+4bf92f",
            "4bf92f3577b34da6a3ce929d0e0e47360",
            "\u{e9}\u{e9}\u{e9}",
        ];
        for text in nonsense {
            assert!(text.parse::<IdPrefix>().is_err(), "{text}");
        }
        let zeros: IdPrefix = "0".repeat(32).parse().unwrap();
        assert_eq!(zeros.whole(), None);
    }
}
