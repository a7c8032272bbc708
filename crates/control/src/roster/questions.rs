//! Questions to the logs of hosts, on their way over an open link and back.

use std::collections::HashMap;

use nkudo_rpc::message::{LogLines, LogsAnswer};
use tokio::sync::oneshot;

/// Questions of one link that wait for their answer.
const QUESTIONS_MAX: usize = 8;

/// What comes back: lines, or a sentence that says why there are none.
pub(crate) type LogsAnswered = Result<LogLines, String>;

/// Who waits for an answer over one link. It goes with the link, and whoever waits then hears that.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: u64,
    waiting: HashMap<String, oneshot::Sender<LogsAnswered>>,
}

impl Questions {
    /// A place to wait at and the name of the question; none when too many wait.
    pub(super) fn ask(&mut self) -> Option<(String, oneshot::Receiver<LogsAnswered>)> {
        // Whoever has waited for long enough is gone.
        self.waiting.retain(|_, waiting| !waiting.is_closed());
        if self.waiting.len() >= QUESTIONS_MAX {
            return None;
        }
        self.asked += 1;
        let request_id = self.asked.to_string();
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(request_id.clone(), sender);
        Some((request_id, receiver))
    }

    /// An answer for whoever waits for it; one that nobody waits for any more is dropped.
    pub(super) fn answered(&mut self, answer: LogsAnswer) {
        let LogsAnswer { request_id, answered } = answer;
        if let Some(waiting) = self.waiting.remove(&request_id) {
            drop(waiting.send(answered));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request_id: &str) -> LogsAnswer {
        LogsAnswer { request_id: request_id.to_owned(), answered: Err("nothing".to_owned()) }
    }

    #[test]
    fn an_answer_finds_whoever_waits_for_it_and_nobody_else() {
        let mut questions = Questions::default();
        let (first_id, mut first) = questions.ask().unwrap();
        let (second_id, mut second) = questions.ask().unwrap();
        questions.answered(answer("another"));
        questions.answered(answer(&second_id));
        questions.answered(answer(&second_id));
        assert_eq!(second.try_recv().unwrap(), Err("nothing".to_owned()));
        assert!(first.try_recv().is_err());
        questions.answered(answer(&first_id));
        assert!(first.try_recv().is_ok());
    }

    #[test]
    fn so_many_wait_and_those_who_left_are_not_counted() {
        let mut questions = Questions::default();
        let mut waiting: Vec<_> = (0..QUESTIONS_MAX).map(|_| questions.ask().unwrap()).collect();
        assert!(questions.ask().is_none());
        waiting.pop();
        assert!(questions.ask().is_some());
    }
}
