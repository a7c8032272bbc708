//! Questions of the control plane to this host's log.

use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use nkudo_host::clock;
use nkudo_logbook::{LogBook, Page, Question};
use nkudo_logging::Order;
use nkudo_rpc::message::{FromAgent, LOG_LINES_MAX, LOG_LINES_MAX_BYTES, LogLines, LogsAnswer, LogsRequest};

/// Questions that are being answered; to more it is said that there are too many.
const QUESTIONS_MAX: usize = 8;

type Answering = Pin<Box<dyn Future<Output = LogsAnswer> + Send>>;

/// What was asked and is not answered.
pub(super) struct Questions {
    /// None where no log files are written.
    book: Option<LogBook>,
    answering: FuturesUnordered<Answering>,
}

impl Questions {
    pub(super) fn new(book: Option<LogBook>) -> Self {
        Self { book, answering: FuturesUnordered::new() }
    }

    pub(super) fn take(&mut self, request: LogsRequest) {
        let book = self.book.clone();
        let has_room = self.answering.len() < QUESTIONS_MAX;
        self.answering.push(Box::pin(async move {
            let LogsRequest { request_id, parameters, oldest_first } = request;
            let answered = match book {
                _ if !has_room => Err("its log is being asked by too many; ask again in a moment".to_owned()),
                None => Err("it writes no log files: logs.enabled is false in its configuration".to_owned()),
                Some(book) => match Question::read_in(order(oldest_first), &parameters, clock::wall_ms()) {
                    Ok(question) => lines(&book, question).await,
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

async fn lines(book: &LogBook, question: Question) -> Result<LogLines, String> {
    let mut query = question.query;
    query.limit = query.limit.min(LOG_LINES_MAX);
    query.max_bytes = LOG_LINES_MAX_BYTES;
    let Page { lines, next, end } = book.lines(query).await.map_err(|error| error.to_string())?;
    Ok(LogLines { lines, next: next.map(|next| next.to_string()), end: end.to_string() })
}
