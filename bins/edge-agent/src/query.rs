//! Paths with their queries, percent-encoded (RFC 3986).

/// A path with these parameters behind it.
pub(crate) fn path<'p>(path: &str, parameters: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let encoded = parameters.into_iter().map(|(name, value)| {
        let byte = |byte: u8| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        };
        format!("{name}={}", value.bytes().map(byte).collect::<String>())
    });
    format!("{path}?{}", encoded.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_label_has_arrives_whole() {
        assert_eq!(
            path("/v1/metrics/query", [("labels", "path=/a b&c,x!=ü"), ("step", "1m")]),
            "/v1/metrics/query?labels=path%3D%2Fa%20b%26c%2Cx%21%3D%C3%BC&step=1m"
        );
    }
}
