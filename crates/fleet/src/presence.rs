//! Whether an agent is heard of, with hysteresis.

use nkudo_domain::Presence;

/// How many heartbeats may be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// From this many on an agent is suspect.
    pub suspect: u64,
    /// From this many on it is offline.
    pub offline: u64,
}

impl Default for Missed {
    fn default() -> Self {
        Self { suspect: 3, offline: 6 }
    }
}

/// Heartbeats in a row that bring an agent back which was offline.
const BEATS_TO_RETURN: u8 = 2;

/// What is known of one agent's presence. Times are monotonic milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceOf {
    state: Presence,
    heard_at_ms: Option<u64>,
    /// Heartbeats in a row since it was given up.
    beats: u8,
    goodbye: Option<String>,
}

impl PresenceOf {
    /// An agent that was never heard of.
    pub fn never() -> Self {
        Self { state: Presence::Offline, heard_at_ms: None, beats: 0, goodbye: None }
    }

    /// An agent that said goodbye before the control plane started.
    pub fn gone(reason: String) -> Self {
        Self { goodbye: Some(reason), ..Self::never() }
    }

    /// An agent that was there when the control plane was last alive: it is given the time to come back that it would
    /// have had after `suspect` missed heartbeats, and not called offline for an outage that was not its own.
    pub fn expected(now_ms: u64, interval_ms: u64, missed: Missed) -> Self {
        let heard_at_ms = now_ms.saturating_sub(interval_ms.saturating_mul(missed.suspect));
        Self { state: Presence::Suspect, heard_at_ms: Some(heard_at_ms), beats: 0, goodbye: None }
    }

    pub fn state(&self) -> Presence {
        self.state
    }

    /// Why it said goodbye, while that is the last that was heard.
    pub fn goodbye(&self) -> Option<&str> {
        self.goodbye.as_deref()
    }

    /// A heartbeat came. A suspect agent is back at once; one that was given up needs a second in time.
    pub fn heartbeat(&mut self, now_ms: u64, interval_ms: u64, missed: Missed) {
        self.tick(now_ms, interval_ms, missed);
        let in_a_row = self
            .heard_at_ms
            .is_some_and(|heard| now_ms.saturating_sub(heard) < interval_ms.saturating_mul(missed.suspect));
        self.heard_at_ms = Some(now_ms);
        match self.state {
            Presence::Online => {}
            Presence::Suspect => self.state = Presence::Online,
            Presence::Offline => {
                self.beats = if in_a_row { self.beats.saturating_add(1) } else { 1 };
                if self.beats >= BEATS_TO_RETURN {
                    self.arrive();
                }
            }
        }
    }

    /// It opened its stream: it is there to work.
    pub fn stream_opened(&mut self, now_ms: u64) {
        self.heard_at_ms = Some(now_ms);
        self.arrive();
    }

    fn arrive(&mut self) {
        self.state = Presence::Online;
        self.beats = 0;
        self.goodbye = None;
    }

    /// It ends on purpose.
    pub fn said_goodbye(&mut self, reason: String) {
        self.state = Presence::Offline;
        self.beats = 0;
        self.goodbye = Some(reason);
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64, interval_ms: u64, missed: Missed) {
        let Some(heard) = self.heard_at_ms else { return };
        let missed_now = now_ms.saturating_sub(heard) / interval_ms.max(1);
        match self.state {
            Presence::Offline => {}
            Presence::Online | Presence::Suspect if missed_now >= missed.offline => {
                self.state = Presence::Offline;
                self.beats = 0;
            }
            Presence::Online if missed_now >= missed.suspect => self.state = Presence::Suspect,
            Presence::Online | Presence::Suspect => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: u64 = 15_000;

    /// What happens, at a time in seconds.
    enum What {
        Beat,
        Stream,
        Goodbye,
        Tick,
    }
    use What::{Beat, Goodbye, Stream, Tick};

    fn check(history: &[(u64, What)], expected: Presence) {
        let mut presence = PresenceOf::never();
        let missed = Missed::default();
        for (at, what) in history {
            let now = at * 1_000;
            match what {
                Beat => presence.heartbeat(now, INTERVAL, missed),
                Stream => presence.stream_opened(now),
                Goodbye => presence.said_goodbye("update".to_owned()),
                Tick => presence.tick(now, INTERVAL, missed),
            }
        }
        let at = history.last().map(|(at, _)| at);
        assert_eq!(presence.state(), expected, "after {} steps, at {at:?} s", history.len());
    }

    #[test]
    fn an_agent_is_suspect_after_three_and_offline_after_six_missed() {
        check(&[], Presence::Offline);
        check(&[(0, Stream)], Presence::Online);
        check(&[(0, Stream), (44, Tick)], Presence::Online);
        check(&[(0, Stream), (45, Tick)], Presence::Suspect);
        check(&[(0, Stream), (89, Tick)], Presence::Suspect);
        check(&[(0, Stream), (90, Tick)], Presence::Offline);
        check(&[(0, Stream), (15, Beat), (59, Tick)], Presence::Online);
    }

    #[test]
    fn the_way_back_has_hysteresis() {
        check(&[(0, Stream), (45, Tick), (46, Beat)], Presence::Online);
        check(&[(0, Stream), (90, Tick), (91, Beat)], Presence::Offline);
        check(&[(0, Stream), (90, Tick), (91, Beat), (106, Beat)], Presence::Online);
        check(&[(0, Stream), (90, Tick), (91, Beat), (141, Beat)], Presence::Offline);
        check(&[(0, Stream), (90, Tick), (91, Stream)], Presence::Online);
        // The tick that would have said so was late: the heartbeat itself finds that it comes too late.
        check(&[(0, Stream), (95, Beat)], Presence::Offline);
        check(&[(0, Beat), (15, Beat)], Presence::Online);
    }

    #[test]
    fn a_goodbye_is_offline_at_once_until_it_is_heard_of_again() {
        check(&[(0, Stream), (1, Goodbye)], Presence::Offline);
        check(&[(0, Stream), (1, Goodbye), (2, Tick)], Presence::Offline);
        check(&[(0, Stream), (1, Goodbye), (3, Stream)], Presence::Online);
        let mut presence = PresenceOf::never();
        presence.stream_opened(0);
        presence.said_goodbye("update".to_owned());
        assert_eq!(presence.goodbye(), Some("update"));
        presence.stream_opened(1);
        assert_eq!(presence.goodbye(), None);
    }

    #[test]
    fn an_outage_of_the_control_plane_makes_nobody_offline_at_once() {
        let missed = Missed::default();
        let mut presence = PresenceOf::expected(1_000_000, INTERVAL, missed);
        assert_eq!(presence.state(), Presence::Suspect);
        presence.tick(1_000_000 + 44_000, INTERVAL, missed);
        assert_eq!(presence.state(), Presence::Suspect);
        presence.tick(1_000_000 + 45_000, INTERVAL, missed);
        assert_eq!(presence.state(), Presence::Offline);
    }
}
