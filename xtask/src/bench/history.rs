//! A day of samples, as the agent would have recorded them.

use anyhow::{Context, Result};
use nkudo_host::clock;
use nkudo_timeseries::{Config, Kind, Now, Samples, SeriesId};

use crate::agent::Host;

/// Every fifteen seconds of a day.
const ROWS: i64 = 5_760;
const STEP_MS: i64 = 15_000;

/// Fills the history of a host whose daemon is down: every series of a scrape, with values that move from row to row as much as
/// a fifth of the metrics of a host do. The rest stands still, as it does there.
pub(super) fn fill_a_day(host: &Host, scraped: &str) -> Result<()> {
    let dir = host.state_dir().join("samples");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut samples = Samples::open(&dir, Config { sync_ms: i64::MAX, ..Config::default() }).await?;
        let begin_ms = clock::wall_ms() - (ROWS + 10) * STEP_MS;
        let mut series: Vec<(SeriesId, f64, Kind)> = Vec::new();
        for (name, labels, value) in scraped.lines().filter_map(sample) {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let counts = ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end));
            let kind = if counts { Kind::Counter } else { Kind::Gauge };
            let id = samples.series(name, &labels, kind, begin_ms).context("the series is taken")?;
            series.push((id, value, kind));
        }
        let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
        for row in 0..ROWS {
            for (index, (_, value, kind)) in series.iter_mut().enumerate() {
                // Marsaglia's xorshift.
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                if index % 5 == 0 {
                    let step = f64::from(u16::try_from(chance >> 48)?) / 1_000.0;
                    *value = match kind {
                        Kind::Counter => *value + step.round(),
                        Kind::Gauge => step,
                    };
                }
            }
            let at_ms = begin_ms + row * STEP_MS;
            let values: Vec<(SeriesId, f64)> = series.iter().map(|(id, value, _)| (*id, *value)).collect();
            samples.record(at_ms, &values);
            samples.tend(Now::of_one_clock(at_ms)).await?;
        }
        println!("a day of {} series lies in {} KiB", series.len(), samples.stats().disk_bytes / 1_024);
        samples.close().await?;
        Ok(())
    })
}

/// Name, labels and value.
type Line<'l> = (&'l str, Vec<(&'l str, String)>, f64);

/// A line of Prometheus text; none of a comment. What has an escape in a label is left out.
fn sample(line: &str) -> Option<Line<'_>> {
    if line.starts_with('#') || line.contains('\\') {
        return None;
    }
    let (key, value) = line.rsplit_once(' ')?;
    let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
    let labels = labels.strip_suffix('}')?;
    let labels = labels
        .split("\",")
        .filter(|text| !text.is_empty())
        .map(|text| {
            let (label, value) = text.split_once("=\"")?;
            Some((label, value.trim_end_matches('"').to_owned()))
        })
        .collect::<Option<Vec<_>>>()?;
    Some((name, labels, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_scrape_are_read() {
        assert_eq!(sample("# HELP a b"), None);
        assert_eq!(sample("a_total 7"), Some(("a_total", vec![], 7.0)));
        let labels = vec![("x", "1,2".to_owned()), ("le", "+Inf".to_owned())];
        assert_eq!(sample("a_bucket{x=\"1,2\",le=\"+Inf\"} 3.5"), Some(("a_bucket", labels, 3.5)));
    }
}
