//! The `traceparent` header (W3C Trace Context, level 1, section 3.2).

use std::fmt;
use std::str::FromStr;

use crate::ids::{SpanId, TraceId};

/// A header is not a traceparent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a traceparent is 00-TRACE-SPAN-FLAGS, in lower-case hexadecimal digits (32, 16 and 2)")]
pub struct InvalidTraceparent;

/// A trace and the span in it that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    pub trace_id: TraceId,
    pub parent_id: SpanId,
    /// Whether the caller keeps this trace.
    pub sampled: bool,
}

impl FromStr for Traceparent {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let mut parts = text.splitn(5, '-');
        let mut part = || parts.next().ok_or(InvalidTraceparent);
        let (version, trace_id, parent_id, flags) = (part()?, part()?, part()?, part()?);
        let version = byte(version)?;
        // Later versions may add parts behind; version 0 has none, and 255 is never valid.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return Err(InvalidTraceparent);
        }
        Ok(Self {
            trace_id: trace_id.parse().map_err(|_| InvalidTraceparent)?,
            parent_id: parent_id.parse().map_err(|_| InvalidTraceparent)?,
            sampled: byte(flags)? & 1 == 1,
        })
    }
}

fn byte(text: &str) -> Result<u8, InvalidTraceparent> {
    let plain = text.len() == 2 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u8::from_str_radix(text, 16).map_err(|_| InvalidTraceparent) } else { Err(InvalidTraceparent) }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.parent_id, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_standard_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(good.parse::<Traceparent>().unwrap().to_string(), good);
        let later = good.replace("00-0af", "cc-0af") + "-what-comes";
        assert!(later.parse::<Traceparent>().unwrap().sampled);
        assert!(!good.replace("-01", "-02").parse::<Traceparent>().unwrap().sampled);
        for bad in [
            "".to_owned(),
            "00".to_owned(),
            good.to_uppercase(),
            format!("{good}-more"),
            good.replace("00-0af", "ff-0af"),
            good.replace("00-0af", "0-0af"),
            good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            good.replace("b7ad6b7169203331", &"0".repeat(16)),
            good.replace("-01", "-1"),
            good.replace("-01", "-+1"),
            good.replace("0af7", "0ag7"),
            "ü".repeat(30),
        ] {
            assert_eq!(bad.parse::<Traceparent>(), Err(InvalidTraceparent), "{bad}");
        }
    }
}
