//! Which results an agent sends, in their order, and which it sends again.

/// Results on their way and not acknowledged, at most.
const WINDOW: u64 = 256;

/// How far the telling of one connection is. Every new connection begins after what was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    acknowledged: u64,
    sent: u64,
}

impl Telling {
    /// A new connection; everything after `acknowledged` is to be sent.
    pub fn after(acknowledged: u64) -> Self {
        Self { acknowledged, sent: acknowledged }
    }

    /// After which number to send on, and at most how many.
    pub fn next(&self) -> Option<(u64, usize)> {
        let room = WINDOW.saturating_sub(self.sent - self.acknowledged);
        (room > 0).then(|| (self.sent, usize::try_from(room).unwrap_or(usize::MAX)))
    }

    /// The result of this number was sent.
    pub fn sent(&mut self, seq: u64) {
        self.sent = self.sent.max(seq);
    }

    /// Whether this connection has not told so far.
    pub fn is_ahead(&self, seq: u64) -> bool {
        seq > self.sent
    }

    /// Everything up to this number is recorded over there; answers the number when that is news. What was not sent
    /// cannot have been recorded: such an acknowledgement is of another connection's time and only counts as far as
    /// was sent.
    pub fn acknowledged(&mut self, seq: u64) -> Option<u64> {
        let seq = seq.min(self.sent);
        if seq <= self.acknowledged {
            return None;
        }
        self.acknowledged = seq;
        Some(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_go_in_order_within_a_window_and_again_after_a_reconnect() {
        let mut telling = Telling::after(7);
        assert_eq!(telling.next(), Some((7, 256)));
        telling.sent(263);
        assert_eq!(telling.next(), None, "the window is full");
        assert_eq!(telling.acknowledged(100), Some(100));
        assert_eq!(telling.next(), Some((263, 93)));
        assert_eq!(telling.acknowledged(100), None, "no news");
        assert_eq!(telling.acknowledged(50), None, "nor what is older");
        assert!(telling.is_ahead(264) && !telling.is_ahead(263));
        assert_eq!(telling.acknowledged(9_999), Some(263), "nothing is acknowledged that was not sent");
        assert_eq!(Telling::after(100).next(), Some((100, 256)));
    }
}
