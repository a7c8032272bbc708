//! In which form a scraper wants the metrics (RFC 9110, sections 12.5.1 and 12.5.3).

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use nkudo_metrics_core::Format;

/// How much something is wanted, in thousandths.
type Quality = u16;

/// The format that is wanted more; OpenMetrics only when it is asked for by name.
pub(crate) fn format(headers: &HeaderMap) -> Format {
    let (mut open, mut plain) = (Wish::default(), Wish::default());
    for item in items(headers, &ACCEPT) {
        let version = item.parameter("version");
        match item.name.as_str() {
            "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                open.take(2, item.quality)
            }
            "text/plain" if matches!(version, None | Some("0.0.4")) => plain.take(2, item.quality),
            "text/*" => plain.take(1, item.quality),
            "*/*" => plain.take(0, item.quality),
            _ => {}
        }
    }
    if open.quality > 0 && open.quality >= plain.quality { Format::OpenMetrics100 } else { Format::Text004 }
}

/// Whether gzip is wanted, and not less than no compression.
pub(crate) fn gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity) = (Wish::default(), Wish::default());
    for item in items(headers, &ACCEPT_ENCODING) {
        match item.name.as_str() {
            "gzip" | "x-gzip" => gzip.take(1, item.quality),
            "identity" => identity.take(1, item.quality),
            "*" => gzip.take(0, item.quality),
            _ => {}
        }
    }
    gzip.quality > 0 && gzip.quality >= identity.quality
}

/// How much one thing is wanted by whichever item names it most exactly.
#[derive(Default)]
struct Wish {
    exactness: u8,
    quality: Quality,
}

impl Wish {
    fn take(&mut self, exactness: u8, quality: Quality) {
        if exactness > self.exactness || (exactness == self.exactness && quality > self.quality) {
            *self = Self { exactness, quality };
        }
    }
}

/// One entry of a list: `name; parameter=value; q=0.5`.
struct Item<'h> {
    name: String,
    parameters: Vec<(&'h str, &'h str)>,
    quality: Quality,
}

impl<'h> Item<'h> {
    /// None for an entry whose quality cannot be understood.
    fn parse(text: &'h str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let parameters: Vec<(&str, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        let mut item = Self { name, parameters, quality: 1_000 };
        if let Some(text) = item.parameter("q") {
            item.quality = quality(text)?;
        }
        Some(item)
    }

    fn parameter(&self, name: &str) -> Option<&'h str> {
        self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

fn items<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = Item<'h>> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(Item::parse)
}

/// `0`, `1`, or either with up to three digits behind a point; at most 1.
fn quality(text: &str) -> Option<Quality> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !matches!(whole, "0" | "1") {
        return None;
    }
    let thousandths: Quality = format!("{whole}{fraction:0<3}").parse().ok()?;
    (thousandths <= 1_000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn the_format_that_is_wanted_more_is_given() {
        let check = |accept: &[&str], expected: Format| {
            assert_eq!(format(&headers(&ACCEPT, accept)), expected, "{accept:?}");
        };
        let (plain, open) = (Format::Text004, Format::OpenMetrics100);
        check(&[], plain);
        check(&["*/*"], plain);
        check(&["text/html, garbage;;=, ,;q"], plain);
        check(&["application/openmetrics-text"], open);
        check(&["Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8"], open);
        check(&["application/openmetrics-text; version=0.0.1"], plain);
        check(&["application/openmetrics-text; version=2.0.0, text/plain"], plain);
        check(&["application/openmetrics-text; version=1.0.0; q=0"], plain);
        check(&["application/openmetrics-text;version=1.0.0;q=0.3,text/plain;q=0.5"], plain);
        check(&["application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"], open);
        check(&["text/plain;version=0.0.4;q=0.2", "application/openmetrics-text;version=1.0.0;q=0.21"], open);
        check(&["text/plain;q=0.1, */*;q=0.9, application/openmetrics-text;q=0.5"], open);
        check(&["application/openmetrics-text;q=nan"], plain);
        check(&["application/openmetrics-text;q=1.001"], plain);
        // What Prometheus 2.42 and 3.0 send.
        check(
            &[
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
               text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ],
            open,
        );
        check(
            &["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
               application/openmetrics-text;version=0.0.1;q=0.5,\
               text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"],
            open,
        );
    }

    #[test]
    fn gzip_is_given_where_it_is_wanted() {
        let check = |accept: &[&str], expected: bool| {
            assert_eq!(gzip(&headers(&ACCEPT_ENCODING, accept)), expected, "{accept:?}");
        };
        check(&[], false);
        check(&[""], false);
        check(&["gzip"], true);
        check(&["deflate, GZIP;q=0.5"], true);
        check(&["br", "gzip"], true);
        check(&["*"], true);
        check(&["*;q=0"], false);
        check(&["gzip;q=0, *"], false);
        check(&["gzip;q=0.000"], false);
        check(&["gzip;q=0.1, identity;q=0.5"], false);
        check(&["identity, gzip"], true);
        check(&["br, deflate, identity"], false);
    }
}
