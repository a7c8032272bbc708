//! `traces`.

use nkudo_api::trace_query::{AGENT, GivenId};
use nkudo_api::view::trace::TraceView;
use nkudo_host::clock;
use nkudo_terminal::Failure;
use nkudo_terminal::traces::{HEADINGS, NONE, cells};

use crate::cli::Traces;
use crate::list::{self, Row};
use crate::query::Query;
use crate::session::Session;

const PATH: &str = "/v1/traces";

pub(crate) async fn run(session: &Session, traces: Traces) -> Result<(), Failure> {
    let Traces { trace_id, agent, filter, listing, showing } = traces;
    if let Some(id) = trace_id {
        let given: GivenId = id.parse().map_err(Failure::refused)?;
        let format = showing.wanted(session.output);
        let query = Query::new(PATH).segment(&given).with("format", Some(&format.as_str()));
        return showing.show(&session.get(&query).await?, session.output);
    }
    showing.is_of_no_trace()?;
    let (parameters, _) = filter.read(clock::wall_ms())?;
    let query = Query::new(PATH).with(AGENT, agent.as_ref());
    let query = parameters.iter().fold(query, |query, (name, value)| query.with(name, Some(value)));
    list::run::<TraceRow>(session, &query, &listing).await
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct TraceRow(TraceView);

impl Row for TraceRow {
    const HEADINGS: &'static [&'static str] = HEADINGS;
    const NONE: &'static str = NONE;

    fn cells(&self) -> Vec<String> {
        let Self(trace) = self;
        cells(trace)
    }
}
