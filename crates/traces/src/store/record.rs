//! The spans of a trace as one record.
//!
//! Every text is written once and named by its place: in a trace the same names, modules and values come again and
//! again. Integers are of variable length but for ids.
//!
//! | field | |
//! |---|---|
//! | part | 0: the trace begins here; 1: more of one that began in an earlier record |
//! | trace id | 16 bytes |
//! | start | of the first span in this record, nanoseconds since 1970 |
//! | texts | number; each with its length |
//! | spans | number; then of each: |
//! | span id | 8 bytes |
//! | flags | bit 0: it has a parent, bit 1: it failed |
//! | parent id | 8 bytes, when it has one |
//! | name, target | places of texts |
//! | start, duration | nanoseconds after the start above; nanoseconds |
//! | thread, dropped attributes | |
//! | attributes | number; of each the place of its name, its type and its value |

use std::borrow::Cow;
use std::collections::HashMap;

use nkudo_journal::bytes::{Malformed, Reader, Writer};
use nkudo_spans::{AttributeValue, FinishedSpan, SpanId, TraceId};

const FLAG_PARENT: u8 = 1;
const FLAG_FAILED: u8 = 2;

/// Where in its trace a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    First,
    More,
}

/// What a record tells of its trace before its spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) part: Part,
    pub(crate) trace_id: TraceId,
    /// Of the first span in the record.
    pub(crate) start_unix_ns: u64,
}

/// Writes a record: spans of one trace.
pub(crate) fn encode(part: Part, trace_id: TraceId, spans: &[FinishedSpan]) -> Vec<u8> {
    let start = spans.iter().map(|span| span.start_unix_ns).min().unwrap_or_default();
    let mut texts = Texts::default();
    let mut body = Writer::default();
    body.size(spans.len());
    spans.iter().for_each(|span| encode_span(span, start, &mut texts, &mut body));
    let mut out = Writer::default();
    out.byte(match part {
        Part::First => 0,
        Part::More => 1,
    });
    out.raw(&trace_id.to_bytes());
    out.unsigned(start);
    out.size(texts.all.len());
    texts.all.iter().for_each(|text| out.text(text));
    out.raw(&body.bytes);
    out.bytes
}

/// Texts by their place.
#[derive(Debug, Default)]
struct Texts<'s> {
    all: Vec<&'s str>,
    places: HashMap<&'s str, usize>,
}

impl<'s> Texts<'s> {
    fn place(&mut self, text: &'s str) -> usize {
        *self.places.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() - 1
        })
    }
}

fn encode_span<'s>(span: &'s FinishedSpan, start: u64, texts: &mut Texts<'s>, out: &mut Writer) {
    let FinishedSpan {
        trace_id: _,
        span_id,
        parent_id,
        name,
        target,
        start_unix_ns,
        duration_ns,
        failed,
        thread,
        attributes,
        dropped_attributes,
    } = span;
    out.raw(&span_id.to_bytes());
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    out.byte(flag(parent_id.is_some(), FLAG_PARENT) | flag(*failed, FLAG_FAILED));
    if let Some(parent_id) = parent_id {
        out.raw(&parent_id.to_bytes());
    }
    out.size(texts.place(name));
    out.size(texts.place(target));
    out.unsigned(start_unix_ns - start);
    out.unsigned(*duration_ns);
    out.unsigned(u64::from(*thread));
    out.unsigned(u64::from(*dropped_attributes));
    out.size(attributes.len());
    for (name, value) in attributes {
        out.size(texts.place(name));
        match value {
            AttributeValue::Text(text) => {
                out.byte(0);
                out.size(texts.place(text));
            }
            AttributeValue::Integer(integer) => {
                out.byte(1);
                out.signed(*integer);
            }
            AttributeValue::Float(float) => {
                out.byte(2);
                out.raw(&float.to_le_bytes());
            }
            AttributeValue::Bool(false) => out.byte(3),
            AttributeValue::Bool(true) => out.byte(4),
        }
    }
}

/// Reads what a record tells before its spans.
pub(crate) fn decode_head(payload: &[u8]) -> Result<Head, Malformed> {
    head(&mut Reader::new(payload))
}

/// Reads a record.
pub(crate) fn decode(payload: &[u8]) -> Result<(Head, Vec<FinishedSpan>), Malformed> {
    let mut input = Reader::new(payload);
    let head = head(&mut input)?;
    let mut texts = Vec::new();
    for _ in 0..input.count()? {
        texts.push(input.text()?);
    }
    let mut spans = Vec::new();
    for _ in 0..input.count()? {
        spans.push(decode_span(&head, &texts, &mut input)?);
    }
    input.end()?;
    Ok((head, spans))
}

fn head(input: &mut Reader<'_>) -> Result<Head, Malformed> {
    let part = match input.byte()? {
        0 => Part::First,
        1 => Part::More,
        _ => return Err(Malformed),
    };
    let trace_id = TraceId::from_bytes(input.raw()?).ok_or(Malformed)?;
    Ok(Head { part, trace_id, start_unix_ns: input.unsigned()? })
}

fn decode_span(head: &Head, texts: &[&str], input: &mut Reader<'_>) -> Result<FinishedSpan, Malformed> {
    let span_id = |input: &mut Reader<'_>| SpanId::from_bytes(input.raw()?).ok_or(Malformed);
    let text = |input: &mut Reader<'_>| {
        let place = usize::try_from(input.unsigned()?).map_err(|_| Malformed)?;
        texts.get(place).copied().ok_or(Malformed)
    };
    let id = span_id(input)?;
    let flags = input.byte()?;
    if flags & !(FLAG_PARENT | FLAG_FAILED) != 0 {
        return Err(Malformed);
    }
    let parent_id = if flags & FLAG_PARENT != 0 { Some(span_id(input)?) } else { None };
    let (name, target) = (text(input)?.to_owned(), text(input)?.to_owned());
    let start_unix_ns = head.start_unix_ns.checked_add(input.unsigned()?).ok_or(Malformed)?;
    let (duration_ns, thread, dropped_attributes) = (input.unsigned()?, input.narrow()?, input.narrow()?);
    let mut attributes = Vec::new();
    for _ in 0..input.count()? {
        let name = Cow::Owned(text(input)?.to_owned());
        let value = match input.byte()? {
            0 => AttributeValue::Text(text(input)?.to_owned()),
            1 => AttributeValue::Integer(input.signed()?),
            2 => AttributeValue::Float(f64::from_le_bytes(input.raw()?)),
            3 => AttributeValue::Bool(false),
            4 => AttributeValue::Bool(true),
            _ => return Err(Malformed),
        };
        attributes.push((name, value));
    }
    Ok(FinishedSpan {
        trace_id: head.trace_id,
        span_id: id,
        parent_id,
        name: Cow::Owned(name),
        target: Cow::Owned(target),
        start_unix_ns,
        duration_ns,
        failed: flags & FLAG_FAILED != 0,
        thread,
        attributes,
        dropped_attributes,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = AttributeValue> {
        prop_oneof![
            any::<String>().prop_map(AttributeValue::Text),
            any::<i64>().prop_map(AttributeValue::Integer),
            // A NaN would not equal itself.
            any::<f64>().prop_filter("a number", |float| !float.is_nan()).prop_map(AttributeValue::Float),
            any::<bool>().prop_map(AttributeValue::Bool),
        ]
    }

    fn ids() -> impl Strategy<Value = SpanId> {
        (1..u64::MAX).prop_map(|id| SpanId::from_bytes(id.to_be_bytes()).expect("it is not zero"))
    }

    fn spans() -> impl Strategy<Value = FinishedSpan> {
        let attributes = proptest::collection::vec((any::<String>().prop_map(Cow::Owned), values()), 0..4);
        let texts = (any::<String>(), any::<String>());
        let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
        (ids(), proptest::option::of(ids()), texts, numbers, any::<bool>(), attributes).prop_map(
            |(span_id, parent_id, (name, target), numbers, failed, attributes)| FinishedSpan {
                trace_id: TraceId::from_bytes([7; 16]).expect("it is not zero"),
                span_id,
                parent_id,
                name: Cow::Owned(name),
                target: Cow::Owned(target),
                start_unix_ns: numbers.0,
                duration_ns: numbers.1,
                failed,
                thread: numbers.2,
                attributes,
                dropped_attributes: numbers.3,
            },
        )
    }

    proptest! {
        #[test]
        fn spans_come_back(spans in proptest::collection::vec(spans(), 1..6)) {
            let payload = encode(Part::More, spans[0].trace_id, &spans);
            let (head, back) = decode(&payload).expect("it was written");
            prop_assert_eq!(decode_head(&payload), Ok(head));
            prop_assert_eq!(head.part, Part::More);
            prop_assert_eq!(back, spans);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, spans in proptest::collection::vec(spans(), 1..3), at: usize) {
            drop(decode(&bytes));
            let mut payload = encode(Part::First, spans[0].trace_id, &spans);
            let at = at % payload.len();
            payload[at] ^= 0x11;
            drop(decode(&payload));
            payload.truncate(at);
            prop_assert!(decode(&payload).is_err());
        }
    }

    #[test]
    fn a_text_that_comes_again_takes_a_byte() {
        let span = |id: u64| FinishedSpan {
            trace_id: TraceId::from_bytes([7; 16]).expect("it is not zero"),
            span_id: SpanId::from_bytes(id.to_be_bytes()).expect("it is not zero"),
            parent_id: None,
            name: Cow::Borrowed("a name of twenty bytes"),
            target: Cow::Borrowed("a_module::of_it"),
            start_unix_ns: 1_700_000_000_000_000_000,
            duration_ns: 1_000_000,
            failed: false,
            thread: 1,
            attributes: vec![(Cow::Borrowed("request_id"), AttributeValue::Text("r-123456".to_owned()))],
            dropped_attributes: 0,
        };
        let bytes = |spans: &[FinishedSpan]| encode(Part::First, spans[0].trace_id, spans).len();
        assert_eq!(bytes(&[span(1), span(2)]) - bytes(&[span(1)]), 21);
    }
}
