//! Whether the wall clock is to be believed where it says that samples are old.
//!
//! A host without a battery for its clock starts in 1970, and a time server that is wrong is wrong by years. What is removed
//! does not come back, so a clock that has gone far ahead is believed when it has stayed there for a while.

/// The time, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Unix, in milliseconds. It is set now and then.
    pub wall_ms: i64,
    /// Since any moment, in milliseconds; never set. One that goes on while the host is suspended knows that this is no
    /// jump.
    pub steady_ms: u64,
}

impl Now {
    /// As of a clock that is never set: for what was recorded elsewhere, and for tests.
    pub fn of_one_clock(unix_ms: i64) -> Self {
        Self { wall_ms: unix_ms, steady_ms: unix_ms.max(0).cast_unsigned() }
    }

    /// How far the one is ahead of the other: the same for as long as none is set.
    fn offset_ms(self) -> i64 {
        self.wall_ms.saturating_sub(i64::try_from(self.steady_ms).unwrap_or(i64::MAX))
    }
}

/// What is thought of the wall clock.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// The offset that is believed; none at the start.
    believed_ms: Option<i64>,
    /// One that is not, and since when it has been there.
    doubted: Option<Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    offset_ms: i64,
    since_ms: u64,
}

/// The bounds of [`Trust`], as in [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) jump_ms: i64,
    pub(crate) calm_ms: i64,
}

impl Trust {
    /// Whether nothing is thought of it yet.
    pub(crate) fn is_new(&self) -> bool {
        self.believed_ms.is_none() && self.doubted.is_none()
    }

    /// Takes the clock for right from here on.
    pub(crate) fn believe(&mut self, now: Now) {
        *self = Self { believed_ms: Some(now.offset_ms()), doubted: None };
    }

    /// Looks at the clock. One that went back is believed: it makes nothing older.
    pub(crate) fn look(&mut self, now: Now, patience: Patience) -> Look {
        let offset_ms = now.offset_ms();
        let Patience { jump_ms, calm_ms } = patience;
        if let Some(known_ms) = self.believed_ms.filter(|known| offset_ms.saturating_sub(*known) <= jump_ms) {
            *self = Self { believed_ms: Some(known_ms.min(offset_ms)), doubted: None };
            return Look::Believed;
        }
        let same = |doubt: &Doubt| offset_ms.saturating_sub(doubt.offset_ms).saturating_abs() <= jump_ms;
        let before = self.doubted.filter(same);
        let doubt = before.unwrap_or(Doubt { offset_ms, since_ms: now.steady_ms });
        if i64::try_from(now.steady_ms.saturating_sub(doubt.since_ms)).unwrap_or(i64::MAX) >= calm_ms {
            self.believe(now);
            return Look::Believed;
        }
        self.doubted = Some(doubt);
        if before.is_some() { Look::Doubted } else { Look::Jumped }
    }
}

/// What a look at the clock came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Believed,
    /// It is further ahead than it was, and not believed.
    Jumped,
    /// It is where it was, and still not believed.
    Doubted,
}

#[cfg(test)]
mod tests {
    use super::*;
    use Look::{Believed, Doubted, Jumped};

    const MINUTE: i64 = 60_000;
    const YEAR: i64 = 365 * 24 * 60 * MINUTE;

    /// Looks after so many minutes, with the wall clock off by so much.
    fn check(trusted: bool, looks: &[(i64, i64, Look)]) {
        let mut trust = Trust::default();
        let now = |minute: i64, off_ms: i64| Now {
            wall_ms: 50 * YEAR + minute * MINUTE + off_ms,
            steady_ms: (minute * MINUTE).cast_unsigned(),
        };
        if trusted {
            trust.believe(now(0, 0));
        }
        let patience = Patience { jump_ms: 60 * MINUTE, calm_ms: 60 * MINUTE };
        let found: Vec<_> = looks
            .iter()
            .map(|(minute, off, _)| (*minute, *off, trust.look(now(*minute, *off), patience)))
            .collect();
        assert_eq!(found, looks);
    }

    #[test]
    fn a_clock_that_goes_on_is_believed_however_long_nobody_looked() {
        check(true, &[(1, 0, Believed), (2, 5 * MINUTE, Believed), (200_000, 0, Believed)]);
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_once_it_has_stayed_there() {
        check(true, &[(1, YEAR, Jumped), (30, YEAR, Doubted), (60, YEAR, Doubted), (61, YEAR, Believed)]);
        // It jumps again before that.
        check(
            true,
            &[(1, YEAR, Jumped), (60, 2 * YEAR, Jumped), (119, 2 * YEAR, Doubted), (120, 2 * YEAR, Believed)],
        );
    }

    #[test]
    fn a_clock_that_comes_back_is_believed_and_begins_anew_when_it_jumps_again() {
        check(true, &[(1, YEAR, Jumped), (59, 0, Believed), (60, YEAR, Jumped), (61, YEAR, Doubted)]);
        check(true, &[(1, -YEAR, Believed), (2, 0, Jumped), (62, 0, Believed)]);
    }

    #[test]
    fn a_clock_that_is_moved_ahead_bit_by_bit_has_jumped_in_the_end() {
        check(true, &[(1, 40 * MINUTE, Believed), (2, 80 * MINUTE, Jumped)]);
    }

    #[test]
    fn at_the_start_nothing_is_believed_that_is_not_covered() {
        check(false, &[(0, 0, Jumped), (59, 0, Doubted), (60, 0, Believed)]);
    }

    #[test]
    fn times_beyond_all_reason_are_no_panic() {
        let mut trust = Trust::default();
        for wall_ms in [i64::MIN, i64::MAX, 0] {
            for steady_ms in [u64::MAX, 0] {
                trust.look(Now { wall_ms, steady_ms }, Patience { jump_ms: 0, calm_ms: i64::MAX });
            }
        }
        assert!(!trust.is_new());
    }
}
