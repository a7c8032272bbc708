//! Whether what is old by the clock may be removed for it.

use super::Samples;
use crate::clock::{Look, Now, Patience};

impl Samples {
    /// Looks at the clock, and whether it is believed.
    pub(super) async fn believes(&mut self, now: Now) -> bool {
        let patience = Patience { jump_ms: self.config.jump_ms, calm_ms: self.config.calm_ms };
        let mut worth_telling = true;
        if self.trust.is_new() {
            match self.before(now.wall_ms).await {
                Before::Samples => self.trust.believe(now),
                Before::Gap => {}
                // A store that is young has nothing that is old.
                Before::Nothing => worth_telling = false,
            }
        }
        match self.trust.look(now, patience) {
            Look::Believed if self.doubts => {
                // What was held back is due.
                (self.doubts, self.bounds_checked) = (false, false);
            }
            Look::Believed | Look::Doubted => {}
            Look::Jumped => {
                self.doubts = true;
                self.stats.clock_doubts += u64::from(worth_telling);
            }
        }
        !self.doubts
    }

    /// What was recorded in the calm time before now.
    async fn before(&mut self, wall_ms: i64) -> Before {
        let mut walk = Walk { next_ms: wall_ms, from_ms: wall_ms.saturating_sub(self.config.calm_ms) };
        let jump_ms = self.config.jump_ms;
        for at_ms in self.blocks.iter().rev().flat_map(|block| block.times.iter().rev()) {
            if let Some(before) = walk.step(*at_ms, jump_ms) {
                return before;
            }
        }
        for chunk in self.chunks.iter().rev() {
            let Ok(Some(times)) = self.database.times(chunk).await else { return Before::Gap };
            if let Some(before) = times.iter().rev().find_map(|at_ms| walk.step(*at_ms, jump_ms)) {
                return before;
            }
        }
        Before::Nothing
    }
}

/// What was recorded before now, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Samples all the time: whoever recorded them had the clock of now.
    Samples,
    /// There is a longer gap in them, before them the clock was another one, or they cannot be read.
    Gap,
    /// There are no more of them.
    Nothing,
}

/// From now back through the samples, newest first.
struct Walk {
    next_ms: i64,
    from_ms: i64,
}

impl Walk {
    /// The answer, once there is one.
    fn step(&mut self, at_ms: i64, jump_ms: i64) -> Option<Before> {
        let before_ms = std::mem::replace(&mut self.next_ms, at_ms);
        // Later than what came after it: the clock was set back in between, or is behind now.
        if at_ms > before_ms || before_ms.saturating_sub(at_ms) > jump_ms {
            return Some(Before::Gap);
        }
        (at_ms <= self.from_ms).then_some(Before::Samples)
    }
}
