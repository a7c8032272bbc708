//! The spans of one trace, and how they hang together.

use std::collections::{HashMap, HashSet};

use nkudo_spans::{FinishedSpan, SpanId, TraceId};

/// The attribute that says what went wrong in a span.
const ERROR: &str = "error";

/// The spans of one trace as far as they are known: at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    id: TraceId,
    /// In order of their start.
    spans: Vec<FinishedSpan>,
    /// The children of each span, in order of their start.
    children: Vec<Vec<usize>>,
    /// In the order of [`Trace::tree`].
    tree: Vec<Place>,
    root: usize,
}

/// Where a span stands in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    span: usize,
    depth: usize,
}

/// A span of the tree.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'t> {
    pub span: &'t FinishedSpan,
    /// How many known spans are around it.
    pub depth: usize,
    /// It has a parent that is not known: lost, not ended yet, or in a program whose spans are not here.
    pub orphan: bool,
}

impl Trace {
    /// The traces that these spans are of, by their start. A span that comes twice counts once, as it came first.
    pub fn gather(spans: impl IntoIterator<Item = FinishedSpan>) -> Vec<Trace> {
        let mut by_id: HashMap<TraceId, Vec<FinishedSpan>> = HashMap::new();
        for span in spans {
            by_id.entry(span.trace_id).or_default().push(span);
        }
        let mut traces: Vec<Trace> = by_id.into_iter().map(|(id, spans)| Trace::of(id, spans)).collect();
        traces.sort_by_key(|trace| (trace.start_unix_ns(), trace.id.to_bytes()));
        traces
    }

    /// `spans` are at least one, and all of this trace.
    fn of(id: TraceId, mut spans: Vec<FinishedSpan>) -> Trace {
        let mut seen = HashSet::new();
        spans.retain(|span| seen.insert(span.span_id));
        // What begins together and ends later is around the other.
        spans.sort_by_key(|span| (span.start_unix_ns, u64::MAX - span.duration_ns));
        let (children, tree) = arrange(&spans);
        let root = root(&spans, &tree);
        Trace { id, spans, children, tree, root }
    }

    pub fn id(&self) -> TraceId {
        self.id
    }

    /// All spans, in order of their start.
    pub fn spans(&self) -> &[FinishedSpan] {
        &self.spans
    }

    /// The spans, for who takes them apart.
    pub fn into_spans(self) -> Vec<FinishedSpan> {
        self.spans
    }

    /// The spans of which `is_top` holds and all that lie within them, in order of their start.
    pub fn into_within(self, is_top: impl Fn(&FinishedSpan) -> bool) -> Vec<FinishedSpan> {
        let mut ahead: Vec<usize> = (0..self.spans.len()).filter(|at| is_top(&self.spans[*at])).collect();
        let mut is_within = vec![false; self.spans.len()];
        while let Some(at) = ahead.pop() {
            if !std::mem::replace(&mut is_within[at], true) {
                ahead.extend(&self.children[at]);
            }
        }
        self.spans
            .into_iter()
            .zip(is_within)
            .filter_map(|(span, is_within)| is_within.then_some(span))
            .collect()
    }

    /// The first span that has no parent; where there is none, the longest of those whose parent is not known.
    pub fn root(&self) -> &FinishedSpan {
        &self.spans[self.root]
    }

    /// When its first span began, in nanoseconds since 1970, UTC.
    pub fn start_unix_ns(&self) -> u64 {
        self.spans[0].start_unix_ns
    }

    /// From the start of its first span to the end of its last, in nanoseconds. Where parts of a trace go on after its
    /// root this is longer than the root.
    pub fn duration_ns(&self) -> u64 {
        let end = self.spans.iter().map(FinishedSpan::end_unix_ns).max();
        end.unwrap_or_default().saturating_sub(self.start_unix_ns())
    }

    /// Whether any of its spans failed.
    pub fn failed(&self) -> bool {
        self.spans.iter().any(|span| span.failed)
    }

    /// What went wrong: the attribute `error` of the root if that failed, else of the deepest failed span that has one,
    /// as it is nearest to the cause.
    pub fn error(&self) -> Option<String> {
        let told =
            |span: &FinishedSpan| span.attribute(ERROR).filter(|_| span.failed).map(ToString::to_string);
        let deepest = || {
            let failed = self.tree.iter().filter(|place| told(&self.spans[place.span]).is_some());
            // The first of those at the same depth.
            let place = failed.rev().max_by_key(|place| place.depth)?;
            told(&self.spans[place.span])
        };
        told(self.root()).or_else(deepest)
    }

    /// Every span once: each before those in it, those beside each other in order of their start. A span whose parent is
    /// not known stands at the root level; so does the first of spans that are their own ancestors.
    pub fn tree(&self) -> impl ExactSizeIterator<Item = Branch<'_>> {
        self.tree.iter().map(|place| {
            let span = &self.spans[place.span];
            Branch { span, depth: place.depth, orphan: place.depth == 0 && span.parent_id.is_some() }
        })
    }

    /// The places of all spans among [`Trace::spans`], each after those in it.
    pub(crate) fn innermost_first(&self) -> impl Iterator<Item = usize> {
        self.tree.iter().rev().map(|place| place.span)
    }

    pub(crate) fn root_index(&self) -> usize {
        self.root
    }

    /// The children of a span, by their place among [`Trace::spans`].
    pub(crate) fn children(&self, span: usize) -> &[usize] {
        &self.children[span]
    }
}

/// The children of each span, and the tree. Nothing here recurses: a trace may be deeper than a stack.
fn arrange(spans: &[FinishedSpan]) -> (Vec<Vec<usize>>, Vec<Place>) {
    let by_id: HashMap<SpanId, usize> =
        spans.iter().enumerate().map(|(at, span)| (span.span_id, at)).collect();
    let parents: Vec<Option<usize>> = spans.iter().map(|span| by_id.get(&span.parent_id?).copied()).collect();
    let mut children = vec![Vec::new(); spans.len()];
    for (at, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            children[*parent].push(at);
        }
    }
    let mut tree = Vec::with_capacity(spans.len());
    let mut placed = vec![false; spans.len()];
    let tops = (0..spans.len()).filter(|at| parents[*at].is_none());
    tops.for_each(|top| descend(top, &children, &mut placed, &mut tree));
    // What is left has no top: it hangs in a circle, which is cut where it begins.
    for at in 0..spans.len() {
        if placed[at] {
            continue;
        }
        if let Some(parent) = parents[at] {
            children[parent].retain(|child| *child != at);
        }
        descend(at, &children, &mut placed, &mut tree);
    }
    (children, tree)
}

/// Places a span and all below it.
fn descend(top: usize, children: &[Vec<usize>], placed: &mut [bool], tree: &mut Vec<Place>) {
    let mut ahead = vec![Place { span: top, depth: 0 }];
    while let Some(place) = ahead.pop() {
        placed[place.span] = true;
        tree.push(place);
        let below = children[place.span].iter().rev();
        ahead.extend(below.map(|span| Place { span: *span, depth: place.depth + 1 }));
    }
}

fn root(spans: &[FinishedSpan], tree: &[Place]) -> usize {
    let tops = || tree.iter().filter(|place| place.depth == 0).map(|place| place.span);
    let rootless = || tops().rev().max_by_key(|top| spans[*top].duration_ns);
    let first = tops().filter(|top| spans[*top].parent_id.is_none()).min();
    first.or_else(rootless).expect("a trace has a span, and each hangs below one that has none above it")
}
