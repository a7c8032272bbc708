//! Points in time as the contract writes them.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A wall-clock time: RFC 3339 in UTC with milliseconds, `2026-01-02T03:04:05.678Z`. Holds Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub i64);

impl std::fmt::Display for WallTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Out of jiff's range there is no year to write; the bound is shown instead.
        let time = Timestamp::from_millisecond(self.0);
        let bound = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        write!(f, "{:.3}", time.unwrap_or(bound))
    }
}

/// A text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time before 9999-12-30; write it like 2026-01-02T03:04:05Z")]
pub struct InvalidTime(String);

impl std::str::FromStr for WallTime {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let time: Timestamp = text.parse().map_err(|_| InvalidTime(text.chars().take(64).collect()))?;
        Ok(Self(time.as_millisecond()))
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A time as people write it, in Unix milliseconds: RFC 3339, or how long before now (`90s`, `30m`, `6h`, `7d`); none when it
/// is neither.
pub fn moment(text: &str, now_ms: i64) -> Option<i64> {
    let ago_ms = || i64::try_from(seconds(text)?).ok()?.checked_mul(1_000);
    text.parse().map(|WallTime(at_ms)| at_ms).ok().or_else(|| now_ms.checked_sub(ago_ms()?))
}

/// What is said of a text that is no [`moment`].
pub fn no_moment(text: &str) -> String {
    let text: String = text.chars().take(64).collect();
    format!(
        "`{text}` is not a time; write a time like 2026-01-02T03:04:05Z, or how long ago like 90s, 30m, 6h or 7d"
    )
}

/// A duration as people write it (`90s`, `30m`, `1h 30m`, `7d`), in whole seconds; none when it is no duration.
pub fn seconds(text: &str) -> Option<u64> {
    if let Some(days) = text.strip_suffix('d') {
        return days.trim().parse::<u64>().ok()?.checked_mul(24 * 3600);
    }
    let duration: jiff::SignedDuration = text.parse().ok()?;
    u64::try_from(duration.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_survive_their_text() {
        let time = WallTime(1_767_323_045_678);
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-01-02T03:04:05.678Z\"");
        assert_eq!(serde_json::from_str::<WallTime>("\"2026-01-02T03:04:05.678Z\"").unwrap(), time);
        assert_eq!(WallTime(1_767_323_045_000).to_string(), "2026-01-02T03:04:05.000Z");
        assert!(WallTime(i64::MAX).to_string().starts_with("9999-"));
    }

    #[test]
    fn moments_are_times_or_how_long_ago() {
        let check =
            |text: &str, expected: Option<i64>| assert_eq!(moment(text, 100_000_000), expected, "{text}");
        check("1970-01-01T00:00:01.5Z", Some(1_500));
        check("90s", Some(99_910_000));
        check("1d", Some(13_600_000));
        check("yesterday", None);
        check("99999999999999999d", None);
        assert!(no_moment("yesterday").contains("6h or 7d"));
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(seconds(text), expected, "{text}");
        check("90s", Some(90));
        check("1h 30m", Some(5_400));
        check("7d", Some(604_800));
        check("-1h", None);
        check("soon", None);
        check("99999999999999999999d", None);
    }
}
