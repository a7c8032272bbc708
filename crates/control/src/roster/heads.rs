//! How far the agents' audit logs are, as they said: kept so that a log which was cut is found out.

use nkudo_audit::Head;
use nkudo_domain::AgentId;

use super::Roster;

/// The heads of one agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heads {
    /// The newest line that was seen. One that went back keeps it until the log is longer than it was.
    kept: Option<Head>,
    /// How far the log had gone back when that was reported last; none since it is longer than it was.
    reported: Option<u64>,
    /// Not in the books.
    unflushed: bool,
}

impl Heads {
    pub(super) fn from_books(kept: Option<Head>) -> Self {
        Self { kept, reported: None, unflushed: false }
    }

    /// Takes a head that was told. Answers what was kept when the log went back, once for each depth: an agent that tells
    /// two heads in turn must not fill the log of the control plane.
    fn tell(&mut self, head: Head) -> Option<Head> {
        let went_back = match (self.kept, self.reported) {
            (Some(kept), None) => head.seq < kept.seq || (head.seq == kept.seq && head.hash != kept.hash),
            (Some(_), Some(reported)) => head.seq < reported,
            (None, _) => false,
        };
        let before = self.kept.filter(|_| went_back);
        if went_back {
            self.reported = Some(head.seq);
        } else if self.kept.is_some_and(|kept| kept.seq < head.seq) {
            self.reported = None;
        }
        if self.kept.is_none_or(|kept| kept.seq <= head.seq && kept != head) {
            (self.kept, self.unflushed) = (Some(head), true);
        }
        before
    }
}

impl Roster {
    /// An agent told how far its audit log is. Answers what was kept when that went back.
    pub(crate) fn audit_head(&self, agent_id: AgentId, head: Head) -> Option<Head> {
        self.members().get_mut(&agent_id)?.heads.tell(head)
    }

    /// The newest line of an agent's audit log that was seen.
    pub(crate) fn audit_head_of(&self, agent_id: AgentId) -> Option<Head> {
        self.members().get(&agent_id)?.heads.kept
    }

    /// The heads that are not in the books.
    pub(crate) fn take_heads(&self) -> Vec<(AgentId, Head)> {
        let mut members = self.members();
        let taken = members.iter_mut().filter_map(|(agent_id, member)| {
            let head = member.heads.kept.filter(|_| member.heads.unflushed)?;
            member.heads.unflushed = false;
            Some((*agent_id, head))
        });
        taken.collect()
    }

    /// What [`Roster::take_heads`] answered could not be written down.
    pub(crate) fn heads_not_flushed(&self, heads: &[(AgentId, Head)]) {
        let mut members = self.members();
        for (agent_id, _) in heads {
            if let Some(member) = members.get_mut(agent_id) {
                member.heads.unflushed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nkudo_audit::Hash;

    use super::*;

    fn head(seq: u64, fork: u8) -> Head {
        Head { seq, hash: Hash::from_bytes([fork; 32]) }
    }

    /// What is told one after the other, and after each whether the log went back, and what is kept.
    fn check(books: Option<Head>, told: &[(Head, Option<Head>, Head)]) {
        let mut heads = Heads::from_books(books);
        for (told, went_back, kept) in told {
            assert_eq!(heads.tell(*told), *went_back, "{told}");
            assert_eq!(heads.kept, Some(*kept), "{told}");
        }
    }

    #[test]
    fn a_log_that_grows_never_went_back() {
        let (a, b) = (head(1, 1), head(9, 2));
        check(None, &[(a, None, a), (a, None, a), (b, None, b)]);
        check(Some(a), &[(a, None, a), (b, None, b)]);
    }

    #[test]
    fn one_that_is_shorter_or_another_is_told_once_and_what_it_was_is_kept() {
        let (a, b) = (head(9, 1), head(5, 2));
        check(
            None,
            &[
                (a, None, a),
                (b, Some(a), a),
                (b, None, a),
                (head(6, 3), None, a),
                (head(10, 4), None, head(10, 4)),
            ],
        );
        check(Some(a), &[(b, Some(a), a)]);
        let other = head(9, 7);
        check(Some(a), &[(other, Some(a), other), (other, None, other)]);
    }

    #[test]
    fn one_that_goes_back_further_is_told_again() {
        let a = head(9, 1);
        check(Some(a), &[(head(5, 2), Some(a), a), (head(3, 3), Some(a), a)]);
    }

    #[test]
    fn two_heads_that_are_told_in_turn_are_told_once() {
        let (a, b, c) = (head(9, 1), head(5, 2), head(9, 3));
        check(Some(a), &[(b, Some(a), a), (a, None, a), (b, None, a), (head(6, 4), None, a), (b, None, a)]);
        check(Some(a), &[(c, Some(a), c), (a, None, a), (c, None, c)]);
        // Once it is longer than it was, it can go back again.
        let d = head(10, 5);
        check(Some(a), &[(b, Some(a), a), (d, None, d), (b, Some(d), d)]);
    }
}
