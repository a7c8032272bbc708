//! Identifiers, each its own type so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest action id, in bytes.
const ACTION_ID_MAX_BYTES: usize = 128;
/// Longest VM name, in bytes.
const VM_NAME_MAX_BYTES: usize = 64;

/// Why a text is not the identifier it was taken for. The sentence names the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("an action id is 1 to 128 of the characters A-Z a-z 0-9 . _ : -")]
    ActionId,
    #[error("a name is 1 to 64 letters, digits, `.`, `_` or `-`, and not `.` or `..`")]
    VmName,
    #[error("a name is 1 to 64 letters, digits, `.`, `_` or `-`, and begins with a letter or digit")]
    Name,
    #[error("`{0}` is not a UUID; write it like 01890a5d-ac96-774b-bcce-b302099a8057")]
    Uuid(String),
    #[error("a trace id is 32 lower-case hexadecimal digits, not all zero")]
    TraceId,
    #[error("a span id is 16 lower-case hexadecimal digits, not all zero")]
    SpanId,
}

/// A text that holds a rule, as a type of its own.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $error:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text of the identifier.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok(Self(text)) } else { Err($error) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use text_id;

text_id!(
    /// Names an action: 1–128 of `[A-Za-z0-9._:-]`, unique on a host.
    ActionId,
    InvalidId::ActionId,
    |text| {
        (1..=ACTION_ID_MAX_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
    }
);

text_id!(
    /// A microVM's name for people: at most 64 letters, digits, `.`, `_`, `-`; unique on a host.
    VmName,
    InvalidId::VmName,
    |text| {
        (1..=VM_NAME_MAX_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && text != "."
            && text != ".."
    }
);

/// Names a microVM: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VmId(uuid::Uuid);

impl VmId {
    /// The identifier with the given UUID.
    pub const fn from_uuid(uuid: uuid::Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for VmId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| InvalidId::Uuid(text.chars().take(64).collect()))
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// A number of so many bytes, not zero, shown in lower-case hexadecimal digits, as a type of its own.
macro_rules! trace_context_id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $error:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name($int);

        impl $name {
            /// The id with these bytes, big-endian; none when they are all zero.
            pub fn from_bytes(bytes: [u8; size_of::<$int>()]) -> Option<Self> {
                let value = <$int>::from_be_bytes(bytes);
                (value != 0).then_some(Self(value))
            }

            /// Its bytes, big-endian.
            pub fn to_bytes(self) -> [u8; size_of::<$int>()] {
                self.0.to_be_bytes()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = 2 * size_of::<$int>();
                let lower_hex = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let value = <$int>::from_str_radix(text, 16).ok().filter(|value| lower_hex && *value != 0);
                value.map(Self).ok_or($error)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0digits$x}", self.0, digits = 2 * size_of::<$int>())
            }
        }
    };
}

trace_context_id!(
    /// The trace an action belongs to: 16 bytes, shown as 32 lower-case hexadecimal digits (W3C Trace Context).
    TraceId, u128, InvalidId::TraceId
);
trace_context_id!(
    /// A span of a trace: 8 bytes, shown as 16 lower-case hexadecimal digits (W3C Trace Context).
    SpanId, u64, InvalidId::SpanId
);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr>(text: &str, valid: bool) {
        assert_eq!(text.parse::<T>().is_ok(), valid, "{text:?}");
    }

    #[test]
    fn identifiers_hold_their_rules() {
        check::<ActionId>("a", true);
        check::<ActionId>("deploy:web-1_2026.11", true);
        check::<ActionId>(&"a".repeat(128), true);
        check::<ActionId>(&"a".repeat(129), false);
        check::<ActionId>("", false);
        check::<ActionId>("a/b", false);
        check::<ActionId>("a b", false);
        check::<VmName>("web-1", true);
        check::<VmName>("a/b", false);
        check::<VmName>("..", false);
        check::<VmName>(&"a".repeat(64), true);
        check::<VmName>(&"a".repeat(300), false);
        check::<VmName>("bücher", false);
        check::<VmId>("01890a5d-ac96-774b-bcce-b302099a8057", true);
        check::<VmId>("web-1", false);
        check::<TraceId>("0af7651916cd43dd8448eb211c80319c", true);
        check::<TraceId>("00000000000000000000000000000000", false);
        check::<TraceId>("0AF7651916CD43DD8448EB211C80319C", false);
        check::<TraceId>("+af7651916cd43dd8448eb211c80319c", false);
        check::<SpanId>("b7ad6b7169203331", true);
        check::<SpanId>("0000000000000000", false);
        check::<SpanId>("B7AD6B7169203331", false);
        check::<SpanId>("0af7651916cd43dd8448eb211c80319c", false);
    }

    #[test]
    fn ids_of_traces_and_spans_survive_their_text() {
        let id = TraceId::from_bytes([7; 16]).unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(TraceId::from_bytes([0; 16]), None);
        let id = SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, 7]).unwrap();
        assert_eq!((id.to_string().as_str(), id.to_string().parse()), ("0000000000000007", Ok(id)));
        assert_eq!(SpanId::from_bytes([0; 8]), None);
    }
}
