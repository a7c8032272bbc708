//! Questions of the control plane to this host's log.

use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use nkudo_host::clock;
use nkudo_logbook::{LogBook, Page, Question};
use nkudo_logging::{Cursor, Order, Query};
use nkudo_rpc::message::{FromAgent, LOG_LINES_MAX, LOG_LINES_MAX_BYTES, LogLines, LogsAnswer, LogsRequest};

/// Questions that are being answered; to more it is said that there are too many.
const QUESTIONS_MAX: usize = 8;

type Answering = Pin<Box<dyn Future<Output = LogsAnswer> + Send>>;

/// What was asked and is not answered.
pub(super) struct Questions {
    /// None where no log files are written.
    book: Option<LogBook>,
    /// Nothing is told of what the log has before it: that was logged for another tenant.
    from: Option<Cursor>,
    answering: FuturesUnordered<Answering>,
}

impl Questions {
    pub(super) fn new(book: Option<LogBook>, from: Option<Cursor>) -> Self {
        Self { book, from, answering: FuturesUnordered::new() }
    }

    pub(super) fn take(&mut self, request: LogsRequest) {
        let (book, from) = (self.book.clone(), self.from);
        let has_room = self.answering.len() < QUESTIONS_MAX;
        self.answering.push(Box::pin(async move {
            let LogsRequest { request_id, parameters, oldest_first } = request;
            let answered = match book {
                _ if !has_room => Err("its log is being asked by too many; ask again in a moment".to_owned()),
                None => Err("it writes no log files: logs.enabled is false in its configuration".to_owned()),
                Some(book) => match Question::read_in(order(oldest_first), &parameters, clock::wall_ms()) {
                    Ok(question) => lines(&book, question, from).await,
                    Err(faults) => {
                        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                        Err(format!("it does not understand the question: {}", faults.join("; ")))
                    }
                },
            };
            LogsAnswer { request_id, answered }
        }));
    }

    /// The next answer; waits for ever while nothing is asked. Cancel safe.
    pub(super) async fn next(&mut self) -> FromAgent {
        match self.answering.next().await {
            Some(answer) => FromAgent::Logs(answer),
            None => std::future::pending().await,
        }
    }
}

fn order(oldest_first: bool) -> Order {
    if oldest_first { Order::OldestFirst } else { Order::NewestFirst }
}

async fn lines(book: &LogBook, question: Question, from: Option<Cursor>) -> Result<LogLines, String> {
    let limit = question.query.limit.min(LOG_LINES_MAX);
    let query = Query { limit, max_bytes: LOG_LINES_MAX_BYTES, from, ..question.query };
    let Page { lines, next, end } = book.lines(query).await.map_err(|error| error.to_string())?;
    Ok(LogLines { lines, next: next.map(|next| next.to_string()), end: end.to_string() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nkudo_logging::log_end;

    use super::*;

    fn message(text: &str, timestamp: &str) -> String {
        format!(r#"{{"timestamp":"{timestamp}","level":"info","message":"{text}","fields":{{}}}}"#) + "\n"
    }

    #[tokio::test]
    async fn lines_of_a_former_tenant_are_not_told_though_the_clock_ran_ahead_then() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("app.00000001.2026-11-21.jsonl");
        let former = message("theirs", "2026-11-21T14:00:00.000Z");
        std::fs::write(&file, &former).unwrap();
        let from = log_end(dir.path(), "app").unwrap();
        std::fs::write(&file, former + &message("ours", "2026-11-21T12:00:01.000Z")).unwrap();
        let told = async |from: Option<Cursor>, oldest_first: bool| {
            let mut questions = Questions::new(Some(LogBook::new(dir.path(), "app")), from);
            let parameters: BTreeMap<_, _> = [("since".to_owned(), "2026-11-21T12:00:00Z".to_owned())].into();
            questions.take(LogsRequest { request_id: "1".to_owned(), parameters, oldest_first });
            let FromAgent::Logs(answer) = questions.next().await else { panic!("an answer is told") };
            answer.answered.unwrap().lines.concat()
        };
        for oldest_first in [true, false] {
            let lines = told(Some(from), oldest_first).await;
            assert!(lines.contains("ours") && !lines.contains("theirs"), "{lines}");
            assert!(told(None, oldest_first).await.contains("theirs"), "its time would be right");
        }
    }
}
