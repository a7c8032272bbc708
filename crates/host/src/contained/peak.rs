//! The most memory that was seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::aside::aside;
use super::killing::Reach;

const FIRST: Duration = Duration::from_millis(2);
const LAST: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Peak {
    /// Shared, so that a look counts also when nobody awaited its end.
    bytes: Arc<AtomicU64>,
    /// How long to wait before the next look: most programs are short.
    pause: Duration,
}

impl Peak {
    pub(super) fn new() -> Peak {
        Peak { bytes: Arc::default(), pause: FIRST }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn look(&self, reach: &Reach) {
        look(&self.bytes, reach);
    }

    /// Looks now and then. It does not return. Cancel safe.
    pub(super) async fn watch(&mut self, reach: &Arc<Reach>) {
        loop {
            tokio::time::sleep(self.pause).await;
            let (bytes, reach) = (Arc::clone(&self.bytes), Arc::clone(reach));
            aside(move || look(&bytes, &reach)).await;
            self.pause = LAST.min(self.pause * 2);
        }
    }
}

fn look(bytes: &AtomicU64, reach: &Reach) {
    let memories: Vec<(u64, u64)> = reach.members().iter().filter_map(|kin| kin.memory()).collect();
    bytes.fetch_max(peak(&memories), Ordering::Relaxed);
}

/// Of one look, at what each process has now and had at most.
fn peak(memories: &[(u64, u64)]) -> u64 {
    let together = memories.iter().fold(0_u64, |sum, (now, _)| sum.saturating_add(*now));
    let alone = memories.iter().map(|(_, most)| *most).max().unwrap_or(0);
    together.max(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_or_one_alone_whichever_was_more() {
        assert_eq!(peak(&[]), 0);
        assert_eq!(peak(&[(10, 15), (20, 20)]), 30);
        assert_eq!(peak(&[(10, 50), (20, 20)]), 50);
    }
}
