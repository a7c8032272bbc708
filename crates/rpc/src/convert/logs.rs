//! Questions to a host's log and their answers.

use super::{WireError, cut};
use crate::generated as wire;
use crate::message::{LOG_LINES_MAX, LogLines, LogsAnswer, LogsRequest};

impl From<LogsRequest> for wire::LogsRequest {
    fn from(request: LogsRequest) -> Self {
        let LogsRequest { request_id, parameters, oldest_first } = request;
        Self { request_id, parameters: parameters.into_iter().collect(), oldest_first }
    }
}

impl From<wire::LogsRequest> for LogsRequest {
    fn from(request: wire::LogsRequest) -> Self {
        let wire::LogsRequest { request_id, parameters, oldest_first } = request;
        Self { request_id, parameters: parameters.into_iter().collect(), oldest_first }
    }
}

impl From<LogsAnswer> for wire::LogsAnswer {
    fn from(answer: LogsAnswer) -> Self {
        let LogsAnswer { request_id, answered } = answer;
        match answered {
            Ok(LogLines { lines, next, end }) => Self {
                request_id,
                lines: lines.into_iter().map(String::into_bytes).collect(),
                error: String::new(),
                next: next.unwrap_or_default(),
                end,
            },
            Err(error) => Self { request_id, error, ..Self::default() },
        }
    }
}

impl TryFrom<wire::LogsAnswer> for LogsAnswer {
    type Error = WireError;

    fn try_from(answer: wire::LogsAnswer) -> Result<Self, WireError> {
        let wire::LogsAnswer { request_id, lines, error, next, end } = answer;
        if !error.is_empty() {
            return Ok(Self { request_id, answered: Err(cut(error)) });
        }
        let wrong = |detail: String| WireError { field: "logs_answer.lines", detail };
        if lines.len() > LOG_LINES_MAX {
            return Err(wrong(format!("{} lines are more than {LOG_LINES_MAX}", lines.len())));
        }
        let lines: Result<Vec<String>, _> = lines.into_iter().map(String::from_utf8).collect();
        let lines = lines.map_err(|error| wrong(error.to_string()))?;
        let next = Some(next).filter(|next| !next.is_empty());
        Ok(Self { request_id, answered: Ok(LogLines { lines, next, end }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: Vec<Vec<u8>>) -> Result<LogsAnswer, WireError> {
        wire::LogsAnswer { request_id: "1".to_owned(), lines, end: "e".to_owned(), ..Default::default() }
            .try_into()
    }

    #[test]
    fn questions_and_answers_survive_the_wire() {
        let parameters = [("q".to_owned(), "done".to_owned())].into();
        let request = LogsRequest { request_id: "1".to_owned(), parameters, oldest_first: true };
        assert_eq!(LogsRequest::from(wire::LogsRequest::from(request.clone())), request);
        let lines =
            LogLines { lines: vec!["{}".to_owned()], next: Some("n".to_owned()), end: "e".to_owned() };
        for answered in [Ok(lines), Err("no files".to_owned())] {
            let said = LogsAnswer { request_id: "1".to_owned(), answered };
            assert_eq!(LogsAnswer::try_from(wire::LogsAnswer::from(said.clone())).unwrap(), said);
        }
    }

    #[test]
    fn lines_that_are_no_text_or_too_many_are_refused() {
        let told = |lines| answer(lines).unwrap_err().to_string();
        assert!(told(vec![vec![0xff]]).contains("logs_answer.lines"));
        assert!(told(vec![Vec::new(); LOG_LINES_MAX + 1]).contains("501 lines"));
        assert!(answer(vec![b"{}".to_vec(); LOG_LINES_MAX]).is_ok());
    }
}
