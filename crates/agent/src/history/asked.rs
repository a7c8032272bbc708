//! Questions to the history as users write them, and its answers as they read them.

mod labels;

use std::collections::BTreeMap;
use std::time::Duration;

use nkudo_api::time::{WallTime, moment, no_moment};
use nkudo_api::view::history::{GapView, HistoryView, PartView, SeriesView};
use nkudo_api::{FieldError, nearest};
use nkudo_timeseries::{Answer, Function, Query, Resolution};

/// What is looked back where nobody says how far.
const SPAN_DEFAULT_MS: i64 = 3_600_000;
/// Points of each series where nobody says how far apart.
const POINTS_DEFAULT: i64 = 60;
/// Longest name that is looked for, in bytes.
const NAME_MAX_BYTES: usize = 256;
/// The parameters of a question.
const KNOWN: [&str; 6] = ["name", "function", "from", "to", "step", "labels"];

/// A question that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub query: Query,
    function: String,
}

impl Asked {
    /// Reads the parameters `name`, `function`, `from`, `to`, `step` and `labels`.
    ///
    /// # Errors
    /// Every parameter that is not understood, with the remedy.
    pub fn read(params: &BTreeMap<String, String>, now_ms: i64) -> Result<Self, Vec<FieldError>> {
        let mut faults = Vec::new();
        let mut fault =
            |path: &str, detail: String| faults.push(FieldError { path: path.to_owned(), detail });
        for unknown in params.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
            let hint = nearest(unknown, KNOWN).map_or_else(
                || format!("known here: {}", KNOWN.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            fault(unknown, format!("is not a known parameter; {hint}"));
        }
        let text = |name: &str| params.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let name = text("name").unwrap_or_default().to_owned();
        if name.is_empty() {
            fault("name", "is missing: the name of a metric, as `edge-agent metrics` lists them".to_owned());
        }
        if name.len() > NAME_MAX_BYTES {
            fault("name", format!("is longer than {NAME_MAX_BYTES} bytes; no metric is"));
        }
        let mut time = |path: &str, default_ms: i64| {
            let Some(text) = text(path) else { return default_ms };
            moment(text, now_ms).unwrap_or_else(|| {
                fault(path, no_moment(text));
                default_ms
            })
        };
        let to_ms = time("to", now_ms.saturating_add(1));
        // There was nothing before 1970.
        let from_ms = time("from", to_ms.saturating_sub(SPAN_DEFAULT_MS)).max(0);
        if from_ms >= to_ms {
            let (from, to) = (WallTime(from_ms), WallTime(to_ms));
            fault("from", format!("{from} is not before {to}, up to which is asked"));
        }
        let function_text = text("function").unwrap_or("raw").to_owned();
        let function = function(&function_text).unwrap_or_else(|| {
            let how = "take raw, last, avg, min, max, sum, count, increase, rate, or a percentile like p50 or p99.9";
            fault("function", format!("`{function_text}` is not a function; {how}"));
            Function::Raw
        });
        let step_ms = match (text("step"), function) {
            (None, Function::Raw) => None,
            (None, _) => Some((to_ms.saturating_sub(from_ms) / POINTS_DEFAULT).max(1_000)),
            (Some(_), Function::Raw) => {
                fault("step", "raw samples have no step; name a function too".to_owned());
                None
            }
            (Some(text), _) => {
                let step = duration_ms(text).filter(|step_ms| *step_ms > 0);
                if step.is_none() {
                    fault("step", format!("`{text}` is not a step; write it like 15s, 5m, 1h or 1d"));
                }
                step
            }
        };
        let matchers = labels::parse(text("labels").unwrap_or_default()).unwrap_or_else(|none| {
            fault("labels", none.to_string());
            Vec::new()
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let query = Query { name, matchers, from_ms, to_ms, step_ms, function };
        Ok(Self { query, function: function_text })
    }

    /// The answer as users read it.
    pub fn view(&self, answer: Answer) -> HistoryView {
        let labels = |labels: &[(String, String)]| labels.iter().cloned().collect::<BTreeMap<_, _>>();
        let Query { name, from_ms, to_ms, step_ms, .. } = &self.query;
        let series = answer.series.into_iter().map(|series| SeriesView {
            labels: labels(&series.labels),
            points: series
                .points
                .iter()
                .map(|point| (seconds(point.at_ms), Some(point.value).filter(|value| value.is_finite())))
                .collect(),
        });
        let gaps = answer.gaps.iter().map(|gap| GapView {
            labels: labels(&gap.series.labels),
            from: WallTime(gap.from_ms),
            to: WallTime(gap.to_ms),
        });
        let parts = answer.parts.iter().map(|part| PartView {
            from: WallTime(part.from_ms),
            to: WallTime(part.to_ms),
            resolution: match part.resolution {
                Resolution::Raw => "raw",
                Resolution::Hourly => "hourly",
                Resolution::Daily => "daily",
            }
            .to_owned(),
        });
        HistoryView {
            name: name.clone(),
            function: self.function.clone(),
            from: WallTime(*from_ms),
            to: WallTime(*to_ms),
            step_seconds: step_ms.map(seconds),
            series: series.collect(),
            gaps: gaps.collect(),
            parts: parts.collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "times in milliseconds are far below 2^53")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn duration_ms(text: &str) -> Option<i64> {
    let seconds = nkudo_api::time::seconds(text)?;
    i64::try_from(Duration::from_secs(seconds).as_millis()).ok()
}

fn function(text: &str) -> Option<Function> {
    Some(match text {
        "raw" => Function::Raw,
        "last" => Function::Last,
        "avg" => Function::Avg,
        "min" => Function::Min,
        "max" => Function::Max,
        "sum" => Function::Sum,
        "count" => Function::Count,
        "increase" => Function::Increase,
        "rate" => Function::Rate,
        percentile => {
            let percent: f64 = percentile.strip_prefix('p')?.parse().ok()?;
            // To whole millionths: 99.9 % is 0.999 and not a little more.
            let share = (percent * 10_000.0).round() / 1_000_000.0;
            Function::Quantile(Some(share).filter(|share| (0.0..=1.0).contains(share))?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn read(params: &[(&str, &str)]) -> Result<Asked, Vec<FieldError>> {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Asked::read(&params, NOW_MS)
    }

    #[test]
    fn a_question_has_defaults_for_all_but_its_name() {
        let asked = read(&[("name", "x_total")]).unwrap();
        assert_eq!(asked.query, Query::new("x_total", NOW_MS + 1 - SPAN_DEFAULT_MS, NOW_MS + 1));
        let asked = read(&[
            ("name", "x_total"),
            ("function", "p99.9"),
            ("from", "2d"),
            ("to", "2023-11-14T22:13:20Z"),
            ("labels", "state=running, level!=info"),
        ])
        .unwrap();
        assert_eq!((asked.query.from_ms, asked.query.to_ms), (NOW_MS - 172_800_000, NOW_MS));
        assert_eq!(asked.query.step_ms, Some(2_880_000));
        assert_eq!(asked.query.function, Function::Quantile(0.999));
        assert_eq!(
            asked.query.matchers,
            Query::new("", 0, 1).with("state", "running").without("level", "info").matchers
        );
    }

    #[test]
    fn every_fault_is_told_with_its_remedy() {
        let check = |params: &[(&str, &str)], path: &str, words: &str| {
            let faults = read(params).unwrap_err();
            let found = faults.iter().find(|fault| fault.path == path);
            assert!(found.is_some_and(|fault| fault.detail.contains(words)), "{params:?}: {faults:?}");
        };
        check(&[], "name", "edge-agent metrics");
        check(&[("name", "x"), ("functio", "avg")], "functio", "did you mean `function`?");
        check(&[("name", "x"), ("from", "yesterday")], "from", "6h or 7d");
        check(
            &[("name", "x"), ("from", "1h"), ("to", "2h")],
            "from",
            "2023-11-14T21:13:20.000Z is not before",
        );
        check(&[("name", &"x".repeat(300))], "name", "longer than 256");
        check(&[("name", "x"), ("function", "p101")], "function", "p99.9");
        check(&[("name", "x"), ("function", "median")], "function", "percentile");
        check(&[("name", "x"), ("function", "rate"), ("step", "0s")], "step", "15s, 5m");
        check(&[("name", "x"), ("step", "1m")], "step", "name a function");
        check(&[("name", "x"), ("labels", "running")], "labels", "state=running");
        let all = read(&[("from", "x"), ("to", "y"), ("function", "z")]).unwrap_err();
        assert_eq!(all.len(), 4, "{all:?}");
    }
}
