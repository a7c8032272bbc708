//! What a log file is called: `NAME.SEQUENCE.PERIOD.jsonl`.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What every log file's name ends with.
const SUFFIX: &str = ".jsonl";
/// Fewest digits of a sequence number: names sort as they were made.
const SEQUENCE_DIGITS: usize = 8;
/// A clock that steps back by less than this, in seconds, stays in its file.
const BACK_TOLERATED_S: i64 = 60;
/// A line may be so much older, or newer where the clock was set, than the moment it was written at, in seconds.
const MARGIN_S: i64 = 600;

/// How often a file is ended and a new one begun, by the clock of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rotation {
    Minutely,
    Hourly,
    Daily,
    /// By size only.
    Never,
}

impl Rotation {
    /// The length of a period in seconds, and how its beginning is written.
    fn form(self) -> Option<(i64, &'static str)> {
        match self {
            Self::Minutely => Some((60, "%Y-%m-%dT%H-%M")),
            Self::Hourly => Some((3_600, "%Y-%m-%dT%H")),
            Self::Daily => Some((86_400, "%Y-%m-%d")),
            Self::Never => None,
        }
    }
}

/// The time in which a file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period {
    rotation: Rotation,
    /// Seconds since the epoch; 0 where files are not rotated by time.
    start_s: i64,
}

impl Period {
    /// The period around `now`. A clock before 1970 is one that was never set.
    pub(crate) fn around(rotation: Rotation, now: Timestamp) -> Self {
        let now_s = now.as_second().max(0);
        Self { rotation, start_s: rotation.form().map_or(0, |(length_s, _)| now_s - now_s % length_s) }
    }

    /// Whether what is written `now` belongs into a file of this period.
    pub(crate) fn takes(self, rotation: Rotation, now: Timestamp) -> bool {
        let now_s = now.as_second().max(0);
        self.rotation == rotation
            && rotation.form().is_none_or(|(length_s, _)| {
                (self.start_s - BACK_TOLERATED_S..self.start_s + length_s).contains(&now_s)
            })
    }

    /// Whether a file of this period may have lines from `since` on and before `until`.
    pub(crate) fn may_have(self, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
        let Some((length_s, _)) = self.rotation.form() else { return true };
        let last_s = self.start_s + length_s + MARGIN_S;
        let first_s = self.start_s - BACK_TOLERATED_S - MARGIN_S;
        // A clock that was never set says that its lines are from before the first period.
        let first_s = if self.start_s == 0 { i64::MIN } else { first_s };
        since.is_none_or(|since| since.as_second() <= last_s)
            && until.is_none_or(|until| until.as_second() >= first_s)
    }

    fn parse(text: &str) -> Option<Self> {
        let (rotation, rest) = match text.len() {
            10 => (Rotation::Daily, "T00-00"),
            13 => (Rotation::Hourly, "-00"),
            16 => (Rotation::Minutely, ""),
            _ => return None,
        };
        let start = DateTime::strptime("%Y-%m-%dT%H-%M", format!("{text}{rest}")).ok()?;
        let start = start.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some(Self { rotation, start_s: start.as_second() })
    }
}

/// The name of a log file, apart from what all of them begin and end with. Ordered as the files were begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileName {
    /// From 1 on; never used twice by one writer.
    pub(crate) sequence: u64,
    pub(crate) period: Period,
}

impl FileName {
    /// Comes before every file.
    pub(crate) const BEGINNING: Self =
        Self { sequence: 0, period: Period { rotation: Rotation::Minutely, start_s: 0 } };

    /// The whole name.
    pub(crate) fn of(self, name: &str) -> String {
        format!("{name}.{self}{SUFFIX}")
    }

    /// Reads a whole name; none for one that [`of`](Self::of) does not give.
    pub(crate) fn read(name: &str, text: &str) -> Option<Self> {
        Self::parse(text.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(SUFFIX)?)
    }

    /// Reads what Display gives.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sequence, period) = match text.split_once('.') {
            Some((sequence, period)) => (sequence, Period::parse(period)?),
            None => (text, Period { rotation: Rotation::Never, start_s: 0 }),
        };
        let name = Self { sequence: sequence.parse().ok()?, period };
        // What is not written just so is somebody else's.
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0SEQUENCE_DIGITS$}", self.sequence)?;
        let Some((_, form)) = self.period.rotation.form() else { return Ok(()) };
        let start = Timestamp::from_second(self.period.start_s).unwrap_or(Timestamp::MAX);
        write!(f, ".{}", start.strftime(form))
    }
}
