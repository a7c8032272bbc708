//! Paths with their queries, percent-encoded (RFC 3986).

use std::fmt::{Display, Write};

/// A path and the parameters behind it.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    text: String,
    parameters: usize,
}

impl Query {
    /// A path that is fit as it is.
    pub(crate) fn new(path: &str) -> Self {
        Self { text: path.to_owned(), parameters: 0 }
    }

    /// The path with one more segment.
    pub(crate) fn segment(mut self, segment: &impl Display) -> Self {
        self.text.push('/');
        encode(&segment.to_string(), &mut self.text);
        self
    }

    /// The query with one more parameter, where there is a value.
    pub(crate) fn with(mut self, name: &str, value: Option<&impl Display>) -> Self {
        if let Some(value) = value {
            self.text.push(if self.parameters == 0 { '?' } else { '&' });
            self.text.push_str(name);
            self.text.push('=');
            encode(&value.to_string(), &mut self.text);
            self.parameters += 1;
        }
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Everything but unreserved characters is encoded.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte))
            }
            _ => write!(into, "%{byte:02X}").expect("a String takes whatever is written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_unreserved_is_encoded() {
        let query = Query::new("/v1/keys").segment(&"a/b ?").with("a", Some(&"1&b=2")).with("b", None::<&u8>);
        let query = query.with("time", Some(&"2026-01-02T03:04:05+01:00"));
        assert_eq!(query.as_str(), "/v1/keys/a%2Fb%20%3F?a=1%26b%3D2&time=2026-01-02T03%3A04%3A05%2B01%3A00");
    }
}
