//! The daemon's log: pages of lines, or new ones as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use nkudo_api::Problem;
use nkudo_logbook::{BookError, Follower, Question};
use tokio_util::sync::CancellationToken;

use super::Served;
use super::answer::Refused;
use super::paging::once;

pub(crate) async fn list(
    State(local): State<Arc<Served>>,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Response, Refused> {
    let parameters = once(given)?;
    let question = Question::read(&parameters, nkudo_host::clock::wall_ms())
        .map_err(|faults| Refused(Problem::invalid(faults)))?;
    let off = "this agent writes no log files: logs.enabled is false in its configuration";
    let book = local.logs.as_ref().ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, off))?;
    if question.follow {
        let follower = book.follow(question.query).await?;
        return Ok(events(follower, local.shutdown.clone()));
    }
    Ok(Json(book.page(question.query).await?).into_response())
}

/// Each line as an event named `log`; ends with the daemon, or when the log can no longer be read. The ids tell the place
/// behind what was sent, from which a log is followed on: with the last line of a look, or alone where there is none.
fn events(follower: Follower, shutdown: CancellationToken) -> Response {
    let events = follower.batches().flat_map(|(lines, place)| {
        let mut events: Vec<Event> =
            lines.into_iter().map(|line| Event::default().event("log").data(line)).collect();
        if let Some(place) = place {
            let last = events.pop().unwrap_or_default();
            events.push(last.id(place.to_string()));
        }
        stream::iter(events.into_iter().map(Ok::<_, Infallible>))
    });
    let until_the_end = events.take_until(shutdown.cancelled_owned());
    Sse::new(until_the_end).keep_alive(KeepAlive::default()).into_response()
}

impl From<BookError> for Refused {
    fn from(error: BookError) -> Self {
        if let Some(query) = error.query() {
            return Self::invalid(query.parameter(), query.to_string());
        }
        let causes: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        let detail = causes.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}
