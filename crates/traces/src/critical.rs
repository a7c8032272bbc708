//! Which of the spans of a trace made it as long as it is.
//!
//! From the end backwards: what was waited for last is the child that ended last; before that child began, it is the last
//! one that had ended by then, and so on; between children it is the span itself. The same within each child. After Zhang
//! et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022.
//!
//! What a request hands on goes on after its answer: a span is taken to last as long as the last span within it. So
//! the path of a trace that begins with such a request ends where the work ended, and not where the answer was given.
//!
//! Clocks of several programs differ, so that a child may begin before its parent: only the part behind the beginning of
//! its parent counts. A clock that is ahead makes a trace longer.

use std::cmp::Reverse;

use nkudo_spans::SpanId;

use crate::trace::Trace;

/// The critical path of a trace: whose time the root's time was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CriticalPath {
    /// In order of time: each begins where the one before ends; together they last from the start of the root to the end of
    /// the last span within it.
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
    span: usize,
    from: u64,
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
        let root = trace.root_index();
        let whole = Part { span: root, from: trace.root().start_unix_ns, to: trace.last_end(root) };
        let mut backwards = Vec::new();
        let mut frames = vec![Frame::enter(trace, whole)];
        while let Some(frame) = frames.last_mut() {
            let next = frame.next();
            // Its own time, after the child or, at last, after its start.
            let own_from = next.map_or(frame.from, |child| child.to);
            if own_from < frame.cursor {
                let span_id = trace.spans()[frame.span].span_id;
                backwards.push(Segment { span_id, from_unix_ns: own_from, to_unix_ns: frame.cursor });
            }
            match next {
                Some(child) => {
                    frame.cursor = child.from;
                    frames.push(Frame::enter(trace, child));
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

impl Frame {
    fn enter(trace: &Trace, part: Part) -> Frame {
        let Part { span, from, to } = part;
        let within = trace.children(span).iter().map(|child| {
            let known = &trace.spans()[*child];
            Part { span: *child, from: known.start_unix_ns.max(from), to: trace.last_end(*child).min(to) }
        });
        let mut ahead: Vec<Part> = within.filter(|child| child.from < child.to).collect();
        // Of those that end together the longest is what was waited for.
        ahead.sort_by_key(|child| (child.to, Reverse(child.from)));
        Frame { span, from, cursor: to, ahead }
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
