//! Which of raw samples, hours and days answer a query: by what is still there, and by the step.

use super::{Function, Part, Query, Resolution};
use crate::config::{DAY_MS, HOUR_MS};

/// What is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Raw samples begin here; before it there are aggregates only.
    pub(crate) raw_from_ms: i64,
    /// Aggregates of hours begin here; before it there are those of days only.
    pub(crate) hours_from_ms: i64,
}

/// How a query is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartPlan {
    /// Ranges of days, hours and raw samples in the database; a range may be empty.
    pub(crate) days: (i64, i64),
    pub(crate) hours: (i64, i64),
    pub(crate) raw: (i64, i64),
    /// What is in memory only is read raw in any case: aggregates do not have it yet.
    pub(crate) whole: (i64, i64),
}

impl PartPlan {
    /// For the one who asked.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let all =
            [(self.days, Resolution::Daily), (self.hours, Resolution::Hourly), (self.raw, Resolution::Raw)];
        let part = |((from_ms, to_ms), resolution)| Part { from_ms, to_ms, resolution };
        all.into_iter().map(part).filter(|part| part.from_ms < part.to_ms).collect()
    }
}

/// Raw samples where they are, unless steps are whole hours (or days): then their aggregates, which say the same and
/// are fewer. Before raw samples hours, before hours days.
pub(crate) fn plan(query: &Query, bounds: &Bounds) -> PartPlan {
    let Query { from_ms, to_ms, .. } = *query;
    let step_ms = query.step_ms();
    let whole = (from_ms, to_ms);
    if query.function == Function::Raw {
        return PartPlan { days: (from_ms, from_ms), hours: (from_ms, from_ms), raw: whole, whole };
    }
    let aligned = |span_ms: i64| step_ms % span_ms == 0 && from_ms % span_ms == 0 && to_ms % span_ms == 0;
    let (hours_from, raw_from) = if aligned(DAY_MS) {
        (to_ms, to_ms)
    } else if aligned(HOUR_MS) {
        (bounds.hours_from_ms, to_ms)
    } else {
        (bounds.hours_from_ms, bounds.raw_from_ms)
    };
    let raw_from = raw_from.clamp(from_ms, to_ms);
    let hours_from = hours_from.clamp(from_ms, raw_from);
    PartPlan { days: (from_ms, hours_from), hours: (hours_from, raw_from), raw: (raw_from, to_ms), whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finest_that_is_there_answers_unless_the_step_needs_less() {
        let bounds = Bounds { raw_from_ms: 20 * DAY_MS, hours_from_ms: 14 * DAY_MS };
        let days = |from: i64, to: i64| (from * DAY_MS, to * DAY_MS);
        let check =
            |range: (i64, i64), step_ms: i64, function: Function, expected: &[(Resolution, (i64, i64))]| {
                let query = Query::new("x", range.0, range.1).each(step_ms, function);
                let parts = plan(&query, &bounds).parts();
                let found: Vec<_> =
                    parts.iter().map(|part| (part.resolution, (part.from_ms, part.to_ms))).collect();
                assert_eq!(found, expected, "{range:?} {step_ms}");
            };
        use Resolution::{Daily, Hourly, Raw};
        let all = [(Daily, days(0, 14)), (Hourly, days(14, 20)), (Raw, days(20, 21))];
        check(days(0, 21), 60_000, Function::Avg, &all);
        check(days(20, 21), 60_000, Function::Avg, &all[2..]);
        check(days(0, 21), HOUR_MS, Function::Avg, &[all[0], (Hourly, days(14, 21))]);
        check(days(0, 21), DAY_MS, Function::Avg, &[(Daily, days(0, 21))]);
        check(days(0, 21), DAY_MS, Function::Raw, &[(Raw, days(0, 21))]);
        // Not on the hour: hours would be counted in steps that they are half in.
        let odd = (20 * DAY_MS + 1, 21 * DAY_MS);
        check(odd, HOUR_MS, Function::Avg, &[(Raw, odd)]);
    }
}
