//! Which of the spans of a trace made it as long as it is.
//!
//! From the end backwards: what was waited for last is the child that ended last; before that child began, it is the last
//! one that had ended by then, and so on; between children it is the span itself. The same within each child.
//! After Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022.
//!
//! There a span ends after all within it. Here a request may be answered while what it asked for is still to be done: a
//! span reaches to the end of the last that it is around of, and is waited for as long, unless something after it was.
//! Then, as also where the clocks of several programs differ, only the part of a child within its parent counts.

use std::cmp::Reverse;

use nkudo_spans::{FinishedSpan, SpanId};

use crate::trace::Trace;

/// The critical path of a trace: whose time the root's time was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CriticalPath {
    /// In order of time, none within another. From the start to the end of the root each begins where the one before ends;
    /// after it, there may be times between them at which nothing was at work.
    pub segments: Vec<Segment>,
}

/// A time in which the trace waited for one span itself, and for none within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub span_id: SpanId,
    /// In nanoseconds since 1970, UTC.
    pub from_unix_ns: u64,
    /// Later than `from_unix_ns`.
    pub to_unix_ns: u64,
}

impl Segment {
    pub fn duration_ns(&self) -> u64 {
        self.to_unix_ns - self.from_unix_ns
    }
}

/// A span that is being walked, from its end to its start.
struct Frame {
    span_id: SpanId,
    from: u64,
    /// When it ended itself.
    end: u64,
    /// The nearest frame around it that ended later.
    outlasted_by: Option<usize>,
    /// What comes after it is explained already.
    cursor: u64,
    /// Parts of children within the frame, the last to end at the end.
    ahead: Vec<Part>,
}

/// The part of a span that lies within the one around it.
#[derive(Clone, Copy)]
struct Part {
    span: usize,
    from: u64,
    to: u64,
}

impl CriticalPath {
    pub fn of(trace: &Trace) -> CriticalPath {
        let reaches = reaches(trace);
        let root = trace.root_index();
        let whole = Part { span: root, from: trace.root().start_unix_ns, to: reaches[root] };
        let mut backwards = Vec::new();
        let mut frames = vec![Frame::enter(trace, &reaches, whole, None)];
        while let Some(frame) = frames.last_mut() {
            let (next, cursor) = (frame.next(), frame.cursor);
            // Its own time, after the child or, at last, after its start.
            let own_from = next.map_or(frame.from, |child| child.to);
            if let Some(child) = next {
                frame.cursor = child.from;
            }
            own(&frames, own_from, cursor, &mut backwards);
            match next {
                Some(child) => {
                    let outlasted_by =
                        outlasting(&frames, trace.spans()[child.span].end_unix_ns().min(child.to));
                    frames.push(Frame::enter(trace, &reaches, child, outlasted_by));
                }
                None => drop(frames.pop()),
            }
        }
        backwards.reverse();
        CriticalPath { segments: backwards }
    }

    /// How long each span was on the path itself, in nanoseconds; the longest first, else as they come.
    pub fn self_times(&self) -> Vec<(SpanId, u64)> {
        let mut times: Vec<(SpanId, u64)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for segment in &self.segments {
            let place = *places.entry(segment.span_id).or_insert_with(|| {
                times.push((segment.span_id, 0));
                times.len() - 1
            });
            times[place].1 += segment.duration_ns();
        }
        times.sort_by_key(|(_, time_ns)| Reverse(*time_ns));
        times
    }

    /// The slow step: the span that was on the path longest, and for how many nanoseconds.
    pub fn slowest(&self) -> Option<(SpanId, u64)> {
        self.self_times().first().copied()
    }
}

/// When each span and all that it is around of have ended.
fn reaches(trace: &Trace) -> Vec<u64> {
    let mut reaches: Vec<u64> = trace.spans().iter().map(FinishedSpan::end_unix_ns).collect();
    for span in trace.innermost_first() {
        let last = trace.children(span).iter().map(|child| reaches[*child]).max();
        reaches[span] = reaches[span].max(last.unwrap_or_default());
    }
    reaches
}

/// The innermost frame that ended after `end`.
fn outlasting(frames: &[Frame], end: u64) -> Option<usize> {
    let mut at = frames.len().checked_sub(1);
    while let Some(frame) = at.map(|at| &frames[at]).filter(|frame| frame.end <= end) {
        at = frame.outlasted_by;
    }
    at
}

/// A time in which the innermost frame waited for none within it: its own until it ended, then that of the one around it.
fn own(frames: &[Frame], from: u64, to: u64, backwards: &mut Vec<Segment>) {
    let (mut at, mut forwards) = (from, Vec::new());
    let mut next = frames.last();
    while let Some(frame) = next.filter(|_| at < to) {
        let until = frame.end.min(to);
        if at < until {
            forwards.push(Segment { span_id: frame.span_id, from_unix_ns: at, to_unix_ns: until });
            at = until;
        }
        next = frame.outlasted_by.map(|outer| &frames[outer]);
    }
    backwards.extend(forwards.into_iter().rev());
}

impl Frame {
    fn enter(trace: &Trace, reaches: &[u64], part: Part, outlasted_by: Option<usize>) -> Frame {
        let Part { span, from, to } = part;
        let known = &trace.spans()[span];
        let within = trace.children(span).iter().flat_map(|child| {
            let known = &trace.spans()[*child];
            // As far as it reaches, and where something later was waited for instead, until it ended itself.
            let ends = [reaches[*child], known.end_unix_ns()];
            ends.map(|end| Part { span: *child, from: known.start_unix_ns.max(from), to: end.min(to) })
        });
        let mut ahead: Vec<Part> = within.filter(|child| child.from < child.to).collect();
        // Of those that end together the longest is what was waited for.
        ahead.sort_by_key(|child| (child.to, Reverse(child.from)));
        let end = known.end_unix_ns().min(to);
        Frame { span_id: known.span_id, from, end, outlasted_by, cursor: to, ahead }
    }

    /// The last child to end before the cursor. What overlaps with that went on beside it, and was not waited for.
    fn next(&mut self) -> Option<Part> {
        while let Some(child) = self.ahead.pop() {
            if child.to <= self.cursor {
                return Some(child);
            }
        }
        None
    }
}
