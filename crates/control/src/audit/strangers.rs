//! Lines about refusals: neither those who only reach the ports nor who has a key may fill the log with them. Pure.

use std::collections::BTreeMap;

use nkudo_domain::TenantId;

/// Of each kind one line is written in this time, and one with the number of the others.
const WINDOW_MS: u64 = 60_000;

/// What is counted together. There are few: words of the program, and names that the books know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) word: &'static str,
    /// The tenant and the name of who it is about; none of those who are not known.
    pub(super) of: Option<(TenantId, String)>,
}

impl Kind {
    /// Of those who are not known, all together.
    pub(super) fn of_strangers(word: &'static str) -> Self {
        Self { word, of: None }
    }

    pub(super) fn of_known(word: &'static str, tenant_id: &TenantId, name: &str) -> Self {
        Self { word, of: Some((tenant_id.clone(), name.to_owned())) }
    }
}

#[derive(Debug, Default)]
struct Window {
    began_ms: u64,
    /// How many were not written.
    left_away: u64,
}

/// When the last line of each kind was written, and how many came since.
#[derive(Debug, Default)]
pub(super) struct Strangers(BTreeMap<Kind, Window>);

impl Strangers {
    /// Whether a line of this kind is written now, and how many were not since the last one that was.
    pub(super) fn let_in(&mut self, kind: Kind, now_ms: u64) -> Option<u64> {
        match self.0.get_mut(&kind) {
            Some(window) if now_ms < window.began_ms.saturating_add(WINDOW_MS) => {
                window.left_away += 1;
                None
            }
            known => {
                let before = known.map_or(0, |window| window.left_away);
                self.0.insert(kind, Window { began_ms: now_ms, left_away: 0 });
                Some(before)
            }
        }
    }

    /// The kinds whose time is over, with how many were not written. They begin anew.
    pub(super) fn over(&mut self, now_ms: u64) -> Vec<(Kind, u64)> {
        let over = self.0.extract_if(.., |_, window| now_ms >= window.began_ms.saturating_add(WINDOW_MS));
        over.map(|(kind, window)| (kind, window.left_away)).filter(|(_, left_away)| *left_away > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_is_let_in_and_the_others_are_counted() {
        let mut strangers = Strangers::default();
        let [key, token] = ["key", "token"].map(Kind::of_strangers);
        assert_eq!(strangers.let_in(key.clone(), 0), Some(0));
        assert_eq!(strangers.let_in(key.clone(), 59_999), None);
        assert_eq!(strangers.let_in(token, 59_999), Some(0), "another kind has a time of its own");
        let known = Kind::of_known("key", &TenantId::default(), "k1");
        assert_eq!(strangers.let_in(known, 59_999), Some(0), "who is known has one too");
        assert_eq!(strangers.over(59_999), []);
        assert_eq!(strangers.let_in(key.clone(), 60_000), Some(1));
        assert_eq!(strangers.let_in(key.clone(), 60_001), None);
        assert_eq!(strangers.let_in(key.clone(), 60_002), None);
        assert_eq!(strangers.over(120_000), [(key.clone(), 2)]);
        assert_eq!(strangers.let_in(key, 120_001), Some(0), "what was told is not told again");
    }
}
