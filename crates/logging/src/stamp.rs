//! The time at the beginning of a line.

use jiff::Timestamp;

/// `2026-01-31T10:00:00.000Z`
pub(crate) const STAMP_BYTES: usize = 24;
/// Up to the colon before the seconds.
const MINUTE_BYTES: usize = 17;
const NANOS_OF_MINUTE: u64 = 60_000_000_000;

/// Writes times in RFC 3339, UTC, with milliseconds. It remembers the minute: of most lines only the rest is new.
#[derive(Debug)]
pub(crate) struct Stamps {
    minute: u64,
    text: [u8; STAMP_BYTES],
}

impl Stamps {
    pub(crate) const fn new() -> Self {
        Self { minute: u64::MAX, text: *b"0000-00-00T00:00:00.000Z" }
    }

    /// The time so many nanoseconds after 1970 began.
    #[inline]
    pub(crate) fn text(&mut self, unix_ns: u64) -> &[u8; STAMP_BYTES] {
        let minute = unix_ns / NANOS_OF_MINUTE;
        if minute != self.minute {
            self.take_minute(minute);
        }
        let milliseconds = unix_ns % NANOS_OF_MINUTE / 1_000_000;
        let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000);
        [self.text[17], self.text[18]] = [digit(seconds / 10), digit(seconds)];
        [self.text[20], self.text[21], self.text[22]] = [digit(rest / 100), digit(rest / 10), digit(rest)];
        &self.text
    }

    #[cold]
    fn take_minute(&mut self, minute: u64) {
        let seconds = i64::try_from(minute * 60).unwrap_or(i64::MAX);
        // The nanoseconds of a u64 end in the year 2554.
        let text = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string();
        let (known, _) = self.text.split_at_mut(MINUTE_BYTES);
        known.copy_from_slice(text.as_bytes().get(..MINUTE_BYTES).unwrap_or(b"9999-12-31T23:59:"));
        self.minute = minute;
    }
}

const fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_those_of_the_calendar() {
        let mut stamps = Stamps::new();
        let mut time = 0_u64;
        // Steps of some 11 days that meet every part of a day, and small ones around the ends of minutes.
        while time < u64::MAX / 2 {
            for time in [time, time + 1_000_000, time + 59_999_000_000, time + 60_000_000_000] {
                let expected = Timestamp::from_nanosecond(i128::from(time)).unwrap();
                assert_eq!(stamps.text(time), format!("{expected:.3}").as_bytes(), "{time}");
            }
            time += 987_654_321_098_765;
        }
        assert_eq!(stamps.text(u64::MAX), b"2554-07-21T23:34:33.709Z");
    }
}
