//! A series drawn in characters: its values from bottom to top, its time from left to right.

use nkudo_api::view::history::{HistoryView, SeriesView};

use super::{extent, time};

/// Columns and rows of the drawing.
const WIDTH: usize = 72;
const HEIGHT: usize = 8;
/// Eighths of a row, from none to all.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The drawing, with the highest and the lowest value at its left and the range of time below. A column without points is
/// empty, one at the lowest value has a line.
pub(super) fn draw(series: &SeriesView, view: &HistoryView) -> String {
    let Some((low, high)) = extent(series) else { return "no value that can be drawn".to_owned() };
    let columns = columns(series, view);
    let labels = [high, low].map(shown);
    let margin = labels.iter().map(String::len).max().unwrap_or(0);
    let mut lines: Vec<String> = (0..HEIGHT)
        .map(|row| {
            let label = match row {
                0 => labels[0].as_str(),
                _ if row == HEIGHT - 1 => labels[1].as_str(),
                _ => "",
            };
            let cells: String =
                columns.iter().map(|value| cell(*value, low, high, HEIGHT - 1 - row)).collect();
            format!("{label:>margin$} |{}", cells.trim_end())
        })
        .collect();
    let (from, to) = (time(seconds(view.from.0)), time(seconds(view.to.0)));
    let gap = WIDTH.saturating_sub(from.len() + to.len());
    lines.push(format!("{:>margin$} +{}", "", "-".repeat(WIDTH)));
    lines.push(format!("{:>margin$}  {from}{}{to}", "", " ".repeat(gap)));
    lines.join("\n")
}

#[expect(clippy::cast_precision_loss, reason = "times in milliseconds are far below 2^53")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// The average of the points that stand in each column; one stands for the whole step that begins with it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of the width is from 0 to the width"
)]
fn columns(series: &SeriesView, view: &HistoryView) -> Vec<Option<f64>> {
    let (from, to) = (seconds(view.from.0), seconds(view.to.0));
    let column = |at: f64| ((at - from) / (to - from)).clamp(0.0, 1.0) * WIDTH as f64;
    let mut sums = vec![(0.0, 0_u32); WIDTH];
    for (at, value) in &series.points {
        let Some(value) = value else { continue };
        let begin = (column(*at) as usize).min(WIDTH - 1);
        let end = (column(at + view.step_seconds.unwrap_or(0.0)).ceil() as usize).clamp(begin + 1, WIDTH);
        for sum in &mut sums[begin..end] {
            sum.0 += value;
            sum.1 += 1;
        }
    }
    sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect()
}

/// What of a column is in a row, counted from the bottom.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of eighths is from 0 to all of them"
)]
fn cell(value: Option<f64>, low: f64, high: f64, row: usize) -> char {
    let Some(value) = value else { return ' ' };
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    let eighths = ((share * (HEIGHT * 8) as f64).round() as usize).max(1);
    EIGHTHS[eighths.saturating_sub(row * 8).min(8)]
}

/// A number short enough to stand beside a drawing.
fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(0.001..1e9).contains(&size) {
        format!("{value:.3e}")
    } else if size >= 1_000.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use nkudo_api::time::WallTime;

    use super::*;

    #[test]
    fn a_ramp_rises_and_a_gap_is_empty() {
        let points: Vec<(f64, Option<f64>)> = (0..72)
            .map(|number| {
                (f64::from(number), Some(f64::from(number)).filter(|_| !(30..40).contains(&number)))
            })
            .collect();
        let series = SeriesView { labels: [].into(), points };
        let view = HistoryView {
            name: "x".to_owned(),
            function: "avg".to_owned(),
            from: WallTime(0),
            to: WallTime(72_000),
            step_seconds: Some(1.0),
            series: Vec::new(),
            gaps: Vec::new(),
            parts: Vec::new(),
        };
        let drawn = draw(&series, &view);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), HEIGHT + 2, "{drawn}");
        assert!(lines[0].starts_with("71 |") && lines[HEIGHT - 1].starts_with(" 0 |"), "{drawn}");
        let bottom: Vec<char> = lines[HEIGHT - 1].chars().skip(4).collect();
        assert_eq!((bottom[0], bottom[20], bottom[35], bottom[71]), ('▁', '█', ' ', '█'), "{drawn}");
        assert!(lines[0].ends_with('█') && lines[HEIGHT + 1].contains("1970-01-01T00:00:00.000Z"), "{drawn}");
        for number in [30_u32, 60] {
            let step = 72.0 / f64::from(number);
            let points = (0..number).map(|nth| (f64::from(nth) * step, Some(1.0))).collect();
            let few = SeriesView { labels: [].into(), points };
            let drawn = draw(&few, &HistoryView { step_seconds: Some(step), ..view.clone() });
            let bottom = drawn.lines().nth(HEIGHT - 1).unwrap_or_default().chars().skip(3);
            assert!(bottom.collect::<String>() == "█".repeat(WIDTH), "{number} points:\n{drawn}");
        }
        let flat = SeriesView { labels: [].into(), points: vec![(1.0, Some(5.0))] };
        assert!(draw(&flat, &view).contains('█'), "one value stands in the middle");
        let none = SeriesView { labels: [].into(), points: vec![(1.0, None)] };
        assert_eq!(draw(&none, &view), "no value that can be drawn");
    }
}
