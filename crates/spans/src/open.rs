//! An open span in its place, and the contexts that spans share.

use crate::encode::FieldWriter;
use crate::ids::{SpanId, TraceId};
use crate::slab::{self, Key, Place, WORDS};
use std::sync::atomic::Ordering;

/// Where each word of a span is.
pub(crate) const TRACE_HIGH: usize = 0;
pub(crate) const TRACE_LOW: usize = 1;
pub(crate) const SPAN: usize = 2;
/// Zero at the root of a trace.
pub(crate) const PARENT: usize = 3;
/// The address of its callsite's metadata.
pub(crate) const CALLSITE: usize = 4;
pub(crate) const START: usize = 5;
/// See [`Info`].
pub(crate) const INFO: usize = 6;
/// How long it was open, in ticks, once it has ended. Until then the bits of [`wanted`](crate::callsites::wanted).
pub(crate) const TOOK: usize = 7;
pub(crate) const WANTED: usize = TOOK;
/// Where its fields begin.
pub(crate) const FIELDS: usize = 8;

/// What is packed into one word: whether it failed, how many fields had no room, words of fields, number of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info(pub(crate) u64);

impl Info {
    const FAILED: u64 = 1;
    const DROPPED_MAX: u64 = 0xffff;

    #[inline]
    pub(crate) fn new(failed: bool, dropped: u64, words: usize, thread: u64) -> Self {
        let dropped = dropped.min(Self::DROPPED_MAX);
        Self(u64::from(failed) | dropped << 8 | (words as u64) << 24 | thread << 40)
    }

    /// With more fields that had no room, as far as their number has, and more words.
    fn and(self, dropped: u64, words: usize) -> Self {
        let dropped = (u64::from(self.dropped()) + dropped).min(Self::DROPPED_MAX);
        let others = self.0 & !(Self::DROPPED_MAX << 8);
        Self((others | dropped << 8) + ((words as u64) << 24))
    }

    pub(crate) fn failed(self) -> bool {
        self.0 & Self::FAILED != 0
    }

    pub(crate) fn dropped(self) -> u32 {
        (self.0 >> 8 & Self::DROPPED_MAX) as u32
    }

    #[inline]
    pub(crate) fn words(self) -> usize {
        (self.0 >> 24 & 0xffff) as usize
    }

    pub(crate) fn thread(self) -> u32 {
        (self.0 >> 40) as u32
    }
}

/// Marks a span as failed.
pub(crate) fn fail(place: &Place) {
    place.words[INFO].fetch_or(Info::FAILED, Ordering::Relaxed);
}

/// The ids of a span; none when its words were taken by another one meanwhile.
pub(crate) fn ids(place: &Place) -> Option<(TraceId, SpanId)> {
    let trace = TraceId::from_halves(place.get(TRACE_HIGH), place.get(TRACE_LOW))?;
    Some((trace, SpanId::from_word(place.get(SPAN))?))
}

/// Words of a context: those that its texts take, and the texts, each behind its number and length.
const USED: usize = 0;
const TEXTS: usize = 1;

/// Texts that go down from a span to everything inside of it, by the numbers of their names.
///
/// They are in a place of their own that each span inside holds: a span that has nothing to add shares that of its parent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Carried(pub(crate) Vec<(usize, String)>);

impl Carried {
    /// What a context carries.
    pub(crate) fn read(context: Key) -> Self {
        let mut carried = Self::default();
        let Some(place) = slab::find(context) else { return carried };
        let bound = |words: u64| usize::try_from(words).map_or(WORDS, |words| words.min(WORDS));
        let (mut at, end) = (TEXTS, bound(place.get(USED)));
        while at < end {
            let header = place.get(at);
            #[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
            let (number, length) = ((header >> 32) as usize, header as u32 as usize);
            let last = at + 1 + length.div_ceil(8);
            if last > end {
                break;
            }
            let mut bytes: Vec<u8> = (at + 1..last).flat_map(|at| place.get(at).to_le_bytes()).collect();
            bytes.truncate(length);
            carried.0.extend(String::from_utf8(bytes).ok().map(|text| (number, text)));
            at = last;
        }
        // What was given back while it was read is nothing.
        if slab::find(context).is_none() { Self::default() } else { carried }
    }

    /// Puts a text, over the one of its name.
    pub(crate) fn put(&mut self, number: usize, text: String) {
        match self.0.iter_mut().find(|(known, _)| *known == number) {
            Some(known) => known.1 = text,
            None => self.0.push((number, text)),
        }
    }

    /// A place with these texts and one holder. What has no room is not carried.
    pub(crate) fn write(&self) -> Option<Key> {
        let (key, place) = slab::open()?;
        let mut at = TEXTS;
        for (number, text) in &self.0 {
            let words = text.len().div_ceil(8);
            if at + 1 + words > WORDS {
                continue;
            }
            place.set(at, (*number as u64) << 32 | text.len() as u64);
            for (offset, chunk) in text.as_bytes().chunks(8).enumerate() {
                let mut bytes = [0; 8];
                bytes[..chunk.len()].copy_from_slice(chunk);
                place.set(at + 1 + offset, u64::from_le_bytes(bytes));
            }
            at += 1 + words;
        }
        place.set(USED, at as u64);
        Some(key)
    }
}

/// Holds the context of a span for one more.
#[inline]
pub(crate) fn hold_context(span: &Place) -> u64 {
    let holds = |context| slab::find(Key(context)).is_some_and(|place| place.hold(Key(context)));
    // Acquire: whoever has the key of a context sees its words.
    let mut context = span.context.load(Ordering::Acquire);
    while context != 0 && !holds(context) {
        // Another thread has replaced it at this moment; else the span itself is gone.
        let replaced = span.context.load(Ordering::Acquire);
        if replaced == context {
            return 0;
        }
        context = replaced;
    }
    context
}

#[inline]
pub(crate) fn release_context(context: u64) {
    if context != 0 {
        slab::let_go(Key(context));
    }
}

/// Writes fields behind those that are there. Whoever calls is [alone](Place::alone). Gives the values that are wanted.
pub(crate) fn append(
    place: &Place,
    record: impl FnOnce(&mut FieldWriter<'_>),
) -> Vec<(&'static str, Option<String>)> {
    let words = Info(place.get(INFO)).words();
    let mut writer = FieldWriter::new(place, FIELDS + words, place.get(WANTED));
    record(&mut writer);
    count_fields(place, writer.dropped, writer.at - FIELDS - words);
    writer.taken
}

/// Adds to a span's fields that had no room, and to the words of those that had.
pub(crate) fn count_fields(place: &Place, dropped: u64, words: usize) {
    let more = |info| Some(Info(info).and(dropped, words).0);
    // It adds in any case.
    let _always = place.words[INFO].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(number: usize) -> u64 {
        Carried(vec![(number, "text".to_owned())]).write().unwrap().0
    }

    #[test]
    fn a_context_that_another_thread_replaces_is_held_before_or_after() {
        const REPLACED: usize = 1_000_000;
        let (_, span) = slab::open().unwrap();
        span.context.store(carried(0), Ordering::Release);
        std::thread::scope(|scope| {
            let replaces = scope.spawn(|| {
                for number in 1..=REPLACED {
                    release_context(span.context.swap(carried(number), Ordering::AcqRel));
                }
            });
            let mut last = 0;
            while !replaces.is_finished() {
                let context = hold_context(span);
                let Carried(texts) = Carried::read(Key(context));
                assert_eq!(texts.len(), 1, "what is held is there");
                assert!(texts[0].0 >= last);
                last = texts[0].0;
                release_context(context);
            }
        });
        let last = span.context.load(Ordering::Acquire);
        release_context(last);
        assert_eq!(hold_context(span), 0, "what is gone is not held");
        slab::close(span);
    }
}
