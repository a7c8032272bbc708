//! What must not end the work that is traced.

use std::fmt;

use nkudo_spans::{AttributeValue, OPEN_MAX, SpansOptions, spans};

use crate::finished;

fn text(text: &str) -> AttributeValue {
    AttributeValue::Text(text.to_owned())
}

/// Makes spans and events, and then fails or panics.
struct Nasty {
    panics: bool,
}

impl fmt::Debug for Nasty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("begun")?;
        tracing::info_span!("made while a span is made", inner = "x").in_scope(|| tracing::error!("nested"));
        assert!(!self.panics, "a field that panics");
        Err(fmt::Error)
    }
}

#[test]
fn fields_keep_their_types_and_odd_values_are_marked() {
    let spans = finished(&SpansOptions::default(), || {
        let long = "ü".repeat(1 << 20);
        let panics = Nasty { panics: true };
        let fails = Nasty { panics: false };
        let odd = "a\u{0}\n\u{1b}[31m\"\\\u{2028}";
        let span = tracing::info_span!(
            "typed",
            text = "short",
            number = -3,
            large = u64::MAX,
            ratio = 0.5,
            yes = true,
            none = Option::<u8>::None,
            odd,
            ?panics,
            ?fails,
            after = 1_u8
        );
        drop(span);
        let again = tracing::info_span!("again", number = 1, long);
        again.record("number", i64::MIN);
    });
    let [.., span, again] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.name, "typed");
    assert_eq!(again.attribute("number"), Some(&AttributeValue::Integer(i64::MIN)), "the later one holds");
    assert_eq!(again.attribute("long"), Some(&text(&("ü".repeat(128) + "…(cut)"))));
    for (name, expected) in [
        ("text", text("short")),
        ("number", AttributeValue::Integer(-3)),
        ("large", text("18446744073709551615")),
        ("ratio", AttributeValue::Float(0.5)),
        ("yes", AttributeValue::Bool(true)),
        ("odd", text("a\u{0}\n\u{1b}[31m\"\\\u{2028}")),
        ("panics", text("begun…(panicked)")),
        ("fails", text("begun…(failed)")),
        ("after", AttributeValue::Integer(1)),
    ] {
        assert_eq!(span.attribute(name), Some(&expected), "{name}");
    }
    assert_eq!((span.attribute("none"), span.dropped_attributes), (None, 0));
}

#[test]
fn a_span_with_more_fields_than_it_has_room_for_counts_those_that_it_lost() {
    let spans = finished(&SpansOptions::default(), || {
        let span = tracing::info_span!("full", again = tracing::field::Empty);
        for number in 0..10_000 {
            span.record("again", number);
        }
    });
    let span = spans.last().unwrap();
    let kept = u32::try_from(span.attributes.len()).unwrap();
    assert!(kept > 20, "{kept}");
    assert_eq!(span.dropped_attributes + kept, 10_000);
}

#[test]
fn fields_are_lost_by_the_hundred_thousand_and_those_that_are_kept_stay() {
    let spans = finished(&SpansOptions::default(), || {
        let span = tracing::info_span!("flooded", first = true, again = tracing::field::Empty);
        for number in 0..200_000 {
            span.record("again", number);
        }
    });
    let span = spans.last().unwrap();
    assert_eq!(span.attribute("first"), Some(&AttributeValue::Bool(true)));
    assert!((20..60).contains(&span.attributes.len()), "{}", span.attributes.len());
    assert_eq!((span.dropped_attributes, span.failed), (0xffff, false));
}

/// Records on the span that it is recorded on.
struct Reentrant<'s>(&'s tracing::Span);

impl fmt::Debug for Reentrant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.record("inner", 1);
        f.write_str("shown")
    }
}

#[test]
fn a_field_that_is_recorded_while_another_one_is_shown_is_lost_and_counted() {
    let spans = finished(&SpansOptions::default(), || {
        let span = tracing::info_span!("span", outer = tracing::field::Empty, inner = tracing::field::Empty);
        span.record("outer", tracing::field::debug(Reentrant(&span)));
    });
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((span.attribute("outer"), span.attribute("inner")), (Some(&text("shown")), None));
    assert_eq!(span.dropped_attributes, 1);
}

#[test]
fn errors_mark_the_span_that_they_happen_in() {
    let spans = finished(&SpansOptions::default(), || {
        let outer = tracing::info_span!("outer");
        outer.in_scope(|| {
            tracing::info_span!("event").in_scope(|| {
                tracing::error!("it failed");
                tracing::info!("and went on");
            });
            tracing::info_span!("field", error = "why").in_scope(|| ());
            let late = tracing::info_span!("late", error = tracing::field::Empty);
            late.record("error", "why");
            drop(late);
            tracing::info_span!("warned").in_scope(|| tracing::warn!("odd"));
        });
    });
    let told: Vec<(&str, bool)> = spans.iter().map(|span| (&*span.name, span.failed)).collect();
    let expected = [("event", true), ("field", true), ("late", true), ("warned", false), ("outer", false)];
    assert_eq!(told, expected);
}

#[test]
fn a_panic_inside_a_span_ends_it_and_leaves_the_thread_outside() {
    let spans = finished(&SpansOptions::default(), || {
        let outer = tracing::info_span!("outer");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            outer.in_scope(|| panic!("in the work"));
        }));
        assert!(panicked.is_err());
        assert_eq!(nkudo_spans::current(), None);
        drop(outer);
        tracing::info_span!("after").in_scope(|| ());
    });
    assert_eq!(spans.iter().map(|span| span.parent_id).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn spans_cross_threads_and_end_where_their_last_holder_is() {
    let spans = finished(&SpansOptions::default(), || {
        let span = tracing::info_span!("shared", by = tracing::field::Empty);
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (span, dispatch) = (span.clone(), dispatch.clone());
                let work = move || {
                    span.in_scope(|| {
                        span.record("by", number);
                        tracing::info_span!("part", number).in_scope(|| ());
                    });
                };
                scope.spawn(move || tracing::dispatcher::with_default(&dispatch, work));
            }
        });
    });
    // The rings of two threads have no order between them.
    let (parts, shared): (Vec<_>, Vec<_>) = spans.iter().partition(|span| span.name == "part");
    assert_eq!((shared.len(), parts.len()), (1, 8));
    let shared = shared[0];
    assert!(parts.iter().all(|part| part.parent_id == Some(shared.span_id)));
    let told = u32::try_from(shared.attributes.len()).unwrap() + shared.dropped_attributes;
    assert!((1..=8).contains(&told), "{shared:?}");
}

#[test]
fn spans_that_never_end_take_places_until_there_are_none_and_are_counted_from_then_on() {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let (handle, mut drain) = (subscriber.handle(), drain.unwrap());
    const MADE: u64 = OPEN_MAX as u64 + 10;
    tracing::subscriber::with_default(subscriber, || {
        // Other tests of this program may hold some.
        let open: Vec<tracing::Span> = (0..MADE).map(|_| tracing::info_span!("open")).collect();
        assert!(handle.dropped() >= 10, "{}", handle.dropped());
        let unplaced = open.last().unwrap();
        unplaced.record("nothing", 1);
        unplaced.in_scope(|| assert_eq!(nkudo_spans::current(), None));
        assert_eq!(drain.pass(|_| ()), 0);
        drop(open);
        assert_eq!(drain.pass(|_| ()) as u64, handle.finished());
        assert!(handle.finished() > 0);
        let dropped = handle.dropped();
        assert_eq!(handle.finished() + dropped, MADE);
        tracing::info_span!("after").in_scope(|| assert!(nkudo_spans::current().is_some()));
        assert_eq!((drain.pass(|_| ()), handle.dropped()), (1, dropped));
    });
}

#[test]
fn deep_nesting_and_leaving_out_of_order_keep_their_parents() {
    const DEPTH: usize = 200;
    let spans = finished(&SpansOptions::default(), || {
        let mut entered: Vec<tracing::span::EnteredSpan> = Vec::new();
        for depth in 0..DEPTH {
            entered.push(tracing::info_span!("level", depth).entered());
        }
        // From the outermost: each leaves what others were entered in.
        entered.into_iter().for_each(drop);
        assert_eq!(nkudo_spans::current(), None);
    });
    assert_eq!(spans.len(), DEPTH);
    for pair in spans.windows(2) {
        assert_eq!(pair[1].parent_id, Some(pair[0].span_id));
    }
}

#[test]
fn two_subscribers_keep_their_spans_apart() {
    let inner_spans = std::cell::RefCell::new(Vec::new());
    let outer_spans = finished(&SpansOptions::default(), || {
        tracing::info_span!("outer").in_scope(|| {
            *inner_spans.borrow_mut() =
                finished(&SpansOptions::default(), || tracing::info_span!("inner").in_scope(|| ()));
        });
    });
    assert_eq!(outer_spans.len(), 1);
    let inner_spans = inner_spans.into_inner();
    assert_eq!(inner_spans.len(), 1);
    assert_ne!(inner_spans[0].trace_id, outer_spans[0].trace_id);
    assert_eq!(inner_spans[0].parent_id, None);
}

#[test]
fn levels_of_spans_change_at_run_time() {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let handle = subscriber.handle();
    let say = || tracing::debug_span!("detail").in_scope(|| ());
    tracing::subscriber::with_default(subscriber, || {
        say();
        handle.set_level(tracing::Level::DEBUG);
        say();
        handle.set_level(tracing::Level::WARN);
        say();
        tracing::info_span!("not any more").in_scope(|| ());
    });
    assert_eq!(drain.unwrap().pass(|_| ()), 1);
}
