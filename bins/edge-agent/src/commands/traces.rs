//! `traces`.

use nkudo_agent::config::Settings;
use nkudo_agent::traces::{FilesError, SERVICE, search_files, trace_in_files};
use nkudo_api::trace_query::GivenId;
use nkudo_api::view::List;
use nkudo_api::view::trace::TraceView;
use nkudo_host::clock;
use nkudo_terminal::daemon::within_reach;
use nkudo_terminal::traces::{HEADINGS, NONE, Parameters, Showing, TraceFilter, cells};
use nkudo_terminal::{Failure, Output, print};
use serde_json::Value;

use crate::cli::Traces;
use crate::query::path;

pub(crate) async fn run(settings: &Settings, traces: Traces, output: Output) -> Result<(), Failure> {
    let Traces { trace_id, filter, limit, showing } = traces;
    match trace_id {
        Some(id) => show(settings, &id, &showing, output).await,
        None => {
            showing.is_of_no_trace()?;
            list(settings, &filter, limit, output).await
        }
    }
}

async fn list(settings: &Settings, filter: &TraceFilter, limit: u32, output: Output) -> Result<(), Failure> {
    let (parameters, mut query) = filter.read(clock::wall_ms())?;
    query.limit = usize::try_from(limit).unwrap_or(query.limit);
    let list = match of_daemon(settings, &parameters, query.limit).await? {
        Some(list) => list,
        None => {
            let found = search_files(settings, &query).map_err(failure)?;
            if found.damaged > 0 {
                print::note(&format!("{} parts of traces are damaged and were left out", found.damaged));
            }
            let items = found.summaries.into_iter().map(TraceView::from).collect();
            List { items, next_cursor: found.next.map(|next| next.to_string()) }
        }
    };
    match output {
        Output::Json => print::json(&list),
        Output::Text if list.items.is_empty() => print::line(NONE),
        Output::Text => print::table(HEADINGS, list.items.iter().map(cells)),
    }
}

/// Pages of the daemon until there are enough traces, or no more; none where it is not there.
async fn of_daemon(
    settings: &Settings,
    parameters: &Parameters,
    limit: usize,
) -> Result<Option<List<TraceView>>, Failure> {
    let (mut items, mut next_cursor) = (Vec::new(), None);
    loop {
        let mut parameters = parameters.clone();
        parameters.push(("limit", (limit - items.len()).to_string()));
        parameters.extend(next_cursor.map(|cursor| ("cursor", cursor)));
        let asked = path("/v1/traces", parameters.iter().map(|(name, value)| (*name, value.as_str())));
        let Some(page) = within_reach::<List<TraceView>>(settings, &asked).await? else { return Ok(None) };
        items.extend(page.items);
        next_cursor = page.next_cursor;
        if next_cursor.is_none() || items.len() >= limit {
            return Ok(Some(List { items, next_cursor }));
        }
    }
}

async fn show(settings: &Settings, id: &str, showing: &Showing, output: Output) -> Result<(), Failure> {
    // Understood here too, so that what is wrong is told whether or not there is a daemon.
    let given: GivenId = id.parse().map_err(Failure::refused)?;
    let format = showing.wanted(output);
    let asked = path(&format!("/v1/traces/{given}"), [("format", format.as_str())]);
    let answer: Value = match within_reach(settings, &asked).await? {
        Some(answer) => answer,
        None => {
            let trace = trace_in_files(settings, &given).map_err(failure)?;
            let mut json = Vec::new();
            format.write(&mut json, &trace, SERVICE).map_err(Failure::failed)?;
            serde_json::from_slice(&json).map_err(Failure::failed)?
        }
    };
    showing.show(&answer, output)
}

fn failure(error: FilesError) -> Failure {
    match error {
        FilesError::Query(_) => Failure::refused(error),
        FilesError::StateDir(_) | FilesError::Config(_) | FilesError::Unreadable(_) | FilesError::Id(_) => {
            Failure::failed(error)
        }
    }
}
