//! Why a host was away, for people.

use nkudo_api::view::outage::OutageView;

use crate::failure::Failure;
use crate::print;

/// Prints outages as a table.
///
/// # Errors
/// When nobody reads it.
pub fn table<'o>(outages: impl IntoIterator<Item = &'o OutageView>) -> Result<(), Failure> {
    print::table(&HEADINGS, outages.into_iter().map(cells))
}

/// The headings of a table of outages.
pub const HEADINGS: [&str; 5] = ["cause", "from", "until", "duration", "evidence"];

/// What stands under them.
pub fn cells(outage: &OutageView) -> Vec<String> {
    vec![
        outage.cause.to_string(),
        outage.began_at.to_string(),
        outage.ended_at.map_or_else(|| "still".to_owned(), |ended_at| ended_at.to_string()),
        duration(outage),
        outage.evidence.clone(),
    ]
}

/// How long one lasted, in two units; with a `~` where only the host's clock says so.
pub fn duration(outage: &OutageView) -> String {
    let about = if outage.by_wall_clock { "~" } else { "" };
    format!("{about}{}", words(outage.duration_ms))
}

fn words(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{}.{} s", seconds, ms / 100 % 10),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let check = |ms, expected| assert_eq!(words(ms), expected);
        check(0, "0.0 s");
        check(9_999, "9.9 s");
        check(10_000, "10 s");
        check(59_999, "59 s");
        check(2_400_000, "40 min 0 s");
        check(3_599_999, "59 min 59 s");
        check(3_600_000, "1 h 0 min");
        check(86_399_999, "23 h 59 min");
        check(90_000_000, "1 d 1 h");
        check(u64::MAX, "213503982334 d 14 h");
    }
}
