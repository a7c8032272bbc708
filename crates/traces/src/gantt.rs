//! A trace as text: a line a span, with a bar over the time of the trace.

mod text;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use nkudo_spans::SpanId;

use self::text::{columns, fitted};
pub use self::text::{escaped, short_duration};
use crate::critical::{CriticalPath, Segment};
use crate::trace::{Branch, Trace};

/// The narrowest drawing, and the widest, in columns.
const WIDTH: (usize, usize) = (40, 1_000);
const DURATION_COLUMNS: usize = 8;
/// The mark in front, the one at the end, and what is between columns.
const SPACING_COLUMNS: usize = 6;
const INDENT_COLUMNS: usize = 2;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// How a trace is drawn.
///
/// Each line has the name of a span, indented as it lies in others; its bar, heavy (`━`) where the span is on the critical
/// path; how long it took; and `!` when it failed. With colours, spans on the path are bold, their part of it yellow, and
/// failed ones red; without, a `*` stands before what is on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gantt {
    /// Columns of the terminal; taken as 40 to 1,000.
    pub width: usize,
    pub colour: bool,
    /// Most lines; what has none is counted in one more.
    pub lines: usize,
}

impl Default for Gantt {
    fn default() -> Self {
        Self { width: 100, colour: false, lines: 1_000 }
    }
}

/// What all lines of a drawing share.
struct Scale {
    start_unix_ns: u64,
    duration_ns: u64,
    name_columns: usize,
    indent_columns_max: usize,
    bar_columns: usize,
    colour: bool,
}

impl Gantt {
    /// Draws a trace. Every line ends in a line break. Whatever is in a name, it stays in its column.
    pub fn draw(&self, trace: &Trace) -> String {
        let path = CriticalPath::of(trace);
        let mut on_path: HashMap<SpanId, Vec<Segment>> = HashMap::new();
        path.segments.iter().for_each(|part| on_path.entry(part.span_id).or_default().push(*part));
        let around = around(trace, &on_path);
        let scale = self.scale(trace);
        let mut out = String::new();
        for branch in trace.tree().take(self.lines) {
            let parts = on_path.get(&branch.span.span_id).map(Vec::as_slice).unwrap_or_default();
            scale.line(&branch, parts, around.contains(&branch.span.span_id), &mut out);
        }
        let left = trace.tree().len().saturating_sub(self.lines);
        if left > 0 {
            out.push_str(&format!("  and {left} more\n"));
        }
        out
    }

    fn scale(&self, trace: &Trace) -> Scale {
        let (least, most) = WIDTH;
        let width = self.width.clamp(least, most);
        let name_columns_max = width * 2 / 5;
        // Deep spans are indented no further than to half of the column.
        let indent_columns_max = name_columns_max / 2;
        let of_name = |branch: Branch<'_>| {
            let indent = indent(branch.depth, indent_columns_max);
            indent + columns(&branch.span.name, name_columns_max)
        };
        let longest = trace.tree().take(self.lines).map(of_name).max().unwrap_or_default();
        let name_columns = longest.min(name_columns_max);
        Scale {
            start_unix_ns: trace.start_unix_ns(),
            duration_ns: trace.duration_ns().max(1),
            name_columns,
            indent_columns_max,
            bar_columns: width - name_columns - DURATION_COLUMNS - SPACING_COLUMNS,
            colour: self.colour,
        }
    }
}

/// The spans on the path, with those that are around them up to the root: what waits for a child waits too.
fn around(trace: &Trace, on_path: &HashMap<SpanId, Vec<Segment>>) -> HashSet<SpanId> {
    let parents: HashMap<SpanId, SpanId> =
        trace.spans().iter().filter_map(|span| Some((span.span_id, span.parent_id?))).collect();
    let mut around = HashSet::new();
    for id in on_path.keys() {
        let mut next = Some(*id);
        // Whoever is in already has all around it in.
        while let Some(id) = next.filter(|id| around.insert(*id)) {
            next = parents.get(&id).copied();
        }
    }
    around
}

fn indent(depth: usize, most: usize) -> usize {
    depth.saturating_mul(INDENT_COLUMNS).min(most)
}

impl Scale {
    fn line(&self, branch: &Branch<'_>, parts: &[Segment], is_on_path: bool, out: &mut String) {
        let span = branch.span;
        let indent = indent(branch.depth, self.indent_columns_max);
        let name = fitted(&span.name, self.name_columns - indent);
        let bar = self.bar(span.start_unix_ns, span.end_unix_ns(), parts);
        let took = short_duration(span.duration_ns);
        let pad = " ".repeat(DURATION_COLUMNS.saturating_sub(took.chars().count()));
        let mark = if is_on_path && !self.colour { '*' } else { ' ' };
        let style = match (self.colour, span.failed, is_on_path) {
            (false, _, _) | (true, false, false) => "",
            (true, true, _) => RED,
            (true, false, true) => BOLD,
        };
        let plain = if style.is_empty() { "" } else { PLAIN };
        let failed = if span.failed { " !" } else { "" };
        let blank = "";
        writeln!(out, "{mark} {blank:indent$}{style}{name}{plain} {bar} {pad}{took}{failed}")
            .expect("a string takes everything");
    }

    /// Blank, light where the span is, heavy where it is on the path.
    fn bar(&self, from: u64, to: u64, parts: &[Segment]) -> String {
        let mut cells = vec![' '; self.bar_columns];
        cells[self.cells(from, to)].fill('─');
        parts.iter().for_each(|part| cells[self.cells(part.from_unix_ns, part.to_unix_ns)].fill('━'));
        if !self.colour {
            return cells.into_iter().collect();
        }
        let mut bar = String::new();
        for run in cells.chunk_by(|a, b| a == b) {
            let is_heavy = run.first() == Some(&'━');
            let (style, plain) = if is_heavy { (YELLOW, PLAIN) } else { ("", "") };
            bar.push_str(style);
            bar.extend(run);
            bar.push_str(plain);
        }
        bar
    }

    /// The cells that a time touches: at least one.
    fn cells(&self, from: u64, to: u64) -> std::ops::Range<usize> {
        let wide = |value: usize| value as u128;
        let scaled = |at: u64| u128::from(at.saturating_sub(self.start_unix_ns)) * wide(self.bar_columns);
        let whole = u128::from(self.duration_ns);
        let narrow = |cell: u128| usize::try_from(cell).unwrap_or(self.bar_columns);
        let first = narrow(scaled(from) / whole).min(self.bar_columns - 1);
        let end = narrow(scaled(to).div_ceil(whole)).clamp(first + 1, self.bar_columns);
        first..end
    }
}
