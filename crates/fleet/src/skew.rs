//! How far two clocks are apart, and what the other one says.

/// The other clock minus ours, as measured by one question and its answer (Cristian's algorithm): the answer's time is
/// taken to be that of the middle of the round trip, so it is wrong by at most half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    pub offset_ms: i64,
    pub error_ms: u64,
}

impl Skew {
    /// `asked_ms` is our wall clock when the question was sent, `round_trip_ms` how long the answer took on the
    /// monotonic clock, `answer_ms` the other's wall clock in the answer.
    pub fn measure(asked_ms: i64, round_trip_ms: u64, answer_ms: i64) -> Self {
        let half = round_trip_ms / 2;
        let middle = asked_ms.saturating_add(i64::try_from(half).unwrap_or(i64::MAX));
        Self { offset_ms: answer_ms.saturating_sub(middle), error_ms: half }
    }

    /// A time of our clock on the other's.
    pub fn theirs(&self, ours_ms: i64) -> i64 {
        ours_ms.saturating_add(self.offset_ms)
    }
}

/// The other's clock, carried on by our time since boot: that nobody can set, and it goes on while the host sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TheirTime {
    wall_ms: i64,
    /// Ours, when theirs was that.
    boottime_ms: u64,
}

impl TheirTime {
    /// As [`Skew::measure`], where `asked_ms` is our time since boot when the question was sent.
    pub fn measure(asked_ms: u64, round_trip_ms: u64, answer_ms: i64) -> Self {
        Self { wall_ms: answer_ms, boottime_ms: asked_ms.saturating_add(round_trip_ms / 2) }
    }

    /// Their wall clock when our time since boot is this.
    pub fn at(&self, boottime_ms: u64) -> i64 {
        let since = i64::try_from(boottime_ms).unwrap_or(i64::MAX)
            - i64::try_from(self.boottime_ms).unwrap_or(i64::MAX);
        self.wall_ms.saturating_add(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_time_goes_on_with_ours_since_boot() {
        let theirs = TheirTime::measure(1_000, 400, 50_000);
        assert_eq!(theirs.at(1_200), 50_000, "the answer is of the middle of the round trip");
        assert_eq!(theirs.at(61_200), 110_000);
        assert_eq!(theirs.at(200), 49_000);
        assert_eq!(TheirTime::measure(0, 0, i64::MAX).at(u64::MAX), i64::MAX);
        assert_eq!(TheirTime::measure(u64::MAX, u64::MAX, i64::MIN).at(0), i64::MIN);
    }

    #[test]
    fn the_answer_is_of_the_middle_of_the_round_trip() {
        let skew = Skew::measure(10_000, 400, 15_200);
        assert_eq!(skew, Skew { offset_ms: 5_000, error_ms: 200 });
        assert_eq!(skew.theirs(20_000), 25_000);
        assert_eq!(Skew::measure(86_400_000, 0, 0).offset_ms, -86_400_000);
        assert_eq!(Skew::measure(0, u64::MAX, i64::MIN).offset_ms, i64::MIN);
    }
}
