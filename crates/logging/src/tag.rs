//! What goes before a line on its way to the thread that writes: when it was made and how severe it is.

use crate::level::LogLevel;

/// Nanoseconds since 1970, with the level in the two lowest bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(u64);

impl Tag {
    pub(crate) const BYTES: usize = 8;
    const LEVEL: u64 = 3;

    pub(crate) const fn new(unix_ns: u64, level: LogLevel) -> Self {
        let level = match level {
            LogLevel::Debug => 0,
            LogLevel::Info => 1,
            LogLevel::Warn => 2,
            LogLevel::Error => 3,
        };
        Self(unix_ns & !Self::LEVEL | level)
    }

    /// The tag at the beginning of these bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self(u64::from_le_bytes(*bytes)))
    }

    pub(crate) const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }

    pub(crate) const fn level(self) -> LogLevel {
        match self.0 & Self::LEVEL {
            0 => LogLevel::Debug,
            1 => LogLevel::Info,
            2 => LogLevel::Warn,
            _ => LogLevel::Error,
        }
    }

    /// When the line was made.
    pub(crate) const fn unix_ns(self) -> u64 {
        self.0 & !Self::LEVEL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_its_level_and_the_time_but_for_its_last_nanoseconds() {
        for level in LogLevel::ALL {
            for unix_ns in [0, 1, 1_700_000_000_123_456_789, u64::MAX] {
                let tag = Tag::new(unix_ns, level);
                assert_eq!(Tag::read(&tag.to_bytes()), Some(tag));
                assert_eq!(tag.level(), level);
                assert!(unix_ns - tag.unix_ns() < 4);
            }
        }
        assert_eq!(Tag::read(b"short"), None);
    }
}
