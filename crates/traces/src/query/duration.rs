//! Durations as people write them, and as they read them.

use std::time::Duration;

use crate::error::QueryError;

/// Units by their names, in nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];
/// Digits after the point that count.
const FRACTION_DIGITS_MAX: u32 = 9;

/// Reads a duration: numbers with units, such as `250ms`, `1.5s` or `1h30m`. Units are d, h, m, s, ms, us and ns. What is
/// less than a nanosecond is cut off.
///
/// # Errors
/// When the text is none; the error names `parameter`.
pub fn parse_duration(parameter: &str, text: &str) -> Result<Duration, QueryError> {
    let nonsense = || QueryError::Duration { parameter: parameter.to_owned(), found: text.to_owned() };
    let (mut rest, mut sum_ns) = (text, 0_u64);
    while !rest.is_empty() {
        let (part_ns, after) = part(rest).ok_or_else(nonsense)?;
        sum_ns = sum_ns.checked_add(part_ns).ok_or_else(nonsense)?;
        rest = after;
    }
    if text.is_empty() { Err(nonsense()) } else { Ok(Duration::from_nanos(sum_ns)) }
}

/// A number with its unit, in nanoseconds, and what follows.
fn part(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => Some(digits(rest)).filter(|(fraction, _)| !fraction.is_empty())?,
        None => ("", rest),
    };
    let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(unit_end)?;
    let (_, unit_ns) = UNITS.iter().find(|(known, _)| *known == name)?;
    let whole_ns = whole.parse::<u64>().ok()?.checked_mul(*unit_ns)?;
    let (mut fraction_ns, mut scale) = (0_u128, 1_u128);
    for digit in fraction.bytes().take(FRACTION_DIGITS_MAX as usize) {
        scale *= 10;
        fraction_ns = fraction_ns * 10 + u128::from(digit - b'0');
    }
    let fraction_ns = u64::try_from(fraction_ns * u128::from(*unit_ns) / scale).ok()?;
    Some((whole_ns.checked_add(fraction_ns)?, rest))
}

/// The digits that a text begins with, and what follows.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, nanos) in [
            ("0s", 0),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("2d", 172_800_000_000_000),
            ("7us9ns", 7_009),
            ("7\u{b5}s", 7_000),
            ("0.0000000019s", 1),
            ("18446744073709551615ns", u64::MAX),
        ] {
            assert_eq!(parse_duration("min", text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_named_with_what_to_give() {
        for text in [
            "",
            "5",
            "s",
            ".5s",
            "5.s",
            "-5s",
            "5 s",
            "5x",
            "1s2",
            "18446744073709551616ns",
            "999999d9",
            "\u{661}s",
        ] {
            let error = parse_duration("min_duration", text).expect_err(text);
            let told =
                format!("`min_duration` is {text:?}: give numbers with units, such as 250ms, 1.5s or 1h30m");
            assert_eq!(error.to_string(), told);
        }
        assert!(parse_duration("min", "999999d").is_err(), "longer than 584 years");
    }
}
