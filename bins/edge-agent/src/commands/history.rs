//! `metrics query`.

mod chart;

use std::collections::BTreeMap;

use nkudo_agent::config::Settings;
use nkudo_agent::history::{Asked, ask_files};
use nkudo_api::time::WallTime;
use nkudo_api::view::history::{HistoryView, SeriesView};
use nkudo_host::clock;
use nkudo_terminal::daemon::within_reach;
use nkudo_terminal::{Failure, Output, print};

use crate::cli::HistoryQuery;
use crate::query::path;

pub(crate) async fn run(settings: &Settings, query: HistoryQuery, output: Output) -> Result<(), Failure> {
    let chart = query.chart;
    let params = params(query);
    // Understood here too, so that what is wrong is told whether or not there is a daemon.
    let asked = Asked::read(&params, clock::wall_ms()).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::Refused(faults.join("\n"))
    })?;
    let path = path("/v1/metrics/query", params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let view = match within_reach(settings, &path).await? {
        Some(view) => view,
        None => {
            let answer = ask_files(settings, &asked.query).await.map_err(Failure::failed)?;
            let (answer, loss) = answer.unwrap_or_default();
            if let Some(loss) = loss {
                print::note(&format!("the history of metrics has lost something: {loss}"));
            }
            asked.view(answer)
        }
    };
    for gap in &view.gaps {
        print::note(&format!("{} from {} to {} is damaged", labels(&gap.labels), gap.from, gap.to));
    }
    match output {
        Output::Json => print::json(&view),
        Output::Text if view.series.is_empty() => print::line(
            "no samples of that metric in that time; edge-agent metrics lists the metrics. rate and increase are of \
                 counters, percentiles of histograms (by the name without _bucket), and labels have to be as listed",
        ),
        Output::Text if chart => view.series.iter().try_for_each(|series| {
            print::line(&labels(&series.labels))?;
            print::line(&chart::draw(series, &view))
        }),
        Output::Text => table(&view),
    }
}

fn table(view: &HistoryView) -> Result<(), Failure> {
    let rows = view.series.iter().flat_map(|series| {
        let labels = labels(&series.labels);
        series
            .points
            .iter()
            .map(move |(at, value)| vec![time(*at), labels.clone(), print::or_dash(value.as_ref())])
    });
    print::table(&["time", "labels", &view.function], rows)
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if labels.is_empty() { "-".to_owned() } else { labels.join(" ") }
}

#[expect(clippy::cast_possible_truncation, reason = "a time in milliseconds is far below 2^53")]
fn time(seconds: f64) -> String {
    WallTime((seconds * 1_000.0).round() as i64).to_string()
}

fn params(query: HistoryQuery) -> BTreeMap<String, String> {
    let HistoryQuery { name, function, labels, from, to, step, chart } = query;
    // A chart of raw samples would be one of their averages anyway.
    let function = function.or_else(|| chart.then(|| "avg".to_owned()));
    let labels = Some(labels.join(",")).filter(|labels| !labels.is_empty());
    let given = [
        ("name", Some(name)),
        ("function", function),
        ("labels", labels),
        ("from", from),
        ("to", to),
        ("step", step),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The lowest and the highest of a series; none where no point has a value.
fn extent(series: &SeriesView) -> Option<(f64, f64)> {
    let mut values = series.points.iter().filter_map(|(_, value)| *value);
    let first = values.next()?;
    Some(values.fold((first, first), |(low, high), value| (low.min(value), high.max(value))))
}
