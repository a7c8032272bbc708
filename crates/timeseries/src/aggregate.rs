//! Many samples as one: count, sum, least, greatest, last; of counters also by how much they went up.

use crate::codec::{Malformed, Reader, Writer, decode_ints, decode_values, encode_ints, encode_values};

/// What is kept of the samples of a series in some span of time. A NaN is no sample here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) last: f64,
    /// By how much a counter went up, resets accounted for; zero for a gauge.
    pub(crate) increase: f64,
    /// Over how much time that was seen, in milliseconds.
    pub(crate) covered_ms: i64,
}

impl Aggregate {
    /// Of no sample.
    pub(crate) const EMPTY: Self = Self {
        count: 0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        last: f64::NAN,
        increase: 0.0,
        covered_ms: 0,
    };

    /// Adds what came after.
    pub(crate) fn merge(&mut self, later: &Self) {
        self.count += later.count;
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        if later.count > 0 {
            self.last = later.last;
        }
        self.increase += later.increase;
        self.covered_ms = self.covered_ms.saturating_add(later.covered_ms);
    }
}

/// Turns the samples of a series, in order of time, into what each of them adds to an aggregate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    counter: bool,
    lookback_ms: i64,
    before: Option<(i64, f64)>,
}

impl Steps {
    /// `before` is the sample before the first.
    pub(crate) fn new(counter: bool, lookback_ms: i64, before: Option<(i64, f64)>) -> Self {
        Self { counter, lookback_ms, before }
    }

    /// Goes on after this sample.
    pub(crate) fn resume(&mut self, before: (i64, f64)) {
        self.before = Some(before);
    }

    /// What a sample adds; nothing when it is a NaN, which also says that a counter is not to be continued.
    ///
    /// An increase counts where its later sample is. A counter that fell began anew at zero, as with Prometheus; unlike
    /// there nothing is extrapolated to the edges of a range.
    pub(crate) fn step(&mut self, at_ms: i64, value: f64) -> Aggregate {
        let before = self.before.replace((at_ms, value));
        if value.is_nan() {
            return Aggregate::EMPTY;
        }
        let mut one = Aggregate {
            count: 1,
            sum: value,
            min: value,
            max: value,
            last: value,
            increase: 0.0,
            covered_ms: 0,
        };
        let Some((before_ms, before)) = before.filter(|_| self.counter) else { return one };
        let passed_ms = at_ms.saturating_sub(before_ms);
        if !before.is_nan() && passed_ms > 0 && passed_ms <= self.lookback_ms {
            one.increase = if value >= before { value - before } else { value };
            // Infinity less infinity.
            one.increase = if one.increase.is_nan() { 0.0 } else { one.increase };
            one.covered_ms = passed_ms;
        }
        one
    }
}

/// The aggregates of one series in consecutive spans of equal length, by the number of the span.
pub(crate) type Spans = std::collections::BTreeMap<i64, Aggregate>;

/// Adds to a span what is not nothing.
pub(crate) fn add(spans: &mut Spans, span: i64, later: &Aggregate) {
    if later.count > 0 {
        spans.entry(span).or_insert(Aggregate::EMPTY).merge(later);
    }
}

/// Appends the aggregates of a series, the columns one after the other.
pub(crate) fn encode_spans(spans: &Spans, out: &mut Writer) {
    out.size(spans.len());
    let ints = |column: &mut dyn Iterator<Item = i64>, out: &mut Writer| {
        encode_ints(&column.collect::<Vec<i64>>(), out);
    };
    let floats = |of: fn(&Aggregate) -> f64, out: &mut Writer| {
        let column: Vec<f64> = spans.values().map(of).collect();
        let mut coded = Writer::default();
        encode_values(&column, &mut coded);
        out.size(coded.bytes.len());
        out.bytes.extend(coded.bytes);
    };
    ints(&mut spans.keys().copied(), out);
    ints(&mut spans.values().map(|one| one.count.cast_signed()), out);
    ints(&mut spans.values().map(|one| one.covered_ms), out);
    for of in FLOATS {
        floats(of, out);
    }
}

const FLOATS: [fn(&Aggregate) -> f64; 5] =
    [|one| one.sum, |one| one.min, |one| one.max, |one| one.last, |one| one.increase];

/// Reads what [`encode_spans`] wrote, at most so many.
pub(crate) fn decode_spans(bytes: &[u8], limit: usize) -> Result<Spans, Malformed> {
    let mut input = Reader::new(bytes);
    let length = input.size(limit)?;
    let spans = decode_column(&mut input, length)?;
    let counts = decode_column(&mut input, length)?;
    let covered = decode_column(&mut input, length)?;
    let mut floats = Vec::with_capacity(FLOATS.len());
    for _ in FLOATS {
        let bytes = input.size(input.rest.len())?;
        floats.push(decode_values(&mut Reader::new(input.slice(bytes)?), length)?);
    }
    input.end()?;
    let [sum, min, max, last, increase] = floats.try_into().map_err(|_| Malformed)?;
    let one = |nth: usize| Aggregate {
        count: counts[nth].cast_unsigned(),
        sum: sum[nth],
        min: min[nth],
        max: max[nth],
        last: last[nth],
        increase: increase[nth],
        covered_ms: covered[nth],
    };
    Ok(spans.iter().enumerate().map(|(nth, span)| (*span, one(nth))).collect())
}

fn decode_column(input: &mut Reader<'_>, length: usize) -> Result<Vec<i64>, Malformed> {
    decode_ints(input, length)
}
