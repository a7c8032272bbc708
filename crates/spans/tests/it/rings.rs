//! Nothing is lost that is not counted, and each thread's records keep their order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nkudo_spans::{AttributeValue, LanesOptions, Record, SpansOptions, lanes, spans};

const MADE: u64 = 10_000_000;
const AT_ONCE: u64 = 8;
/// Spans of one thread: it ends, and another one starts.
const OF_A_THREAD: u64 = 20_000;

#[test]
fn ten_million_spans_of_threads_that_start_and_die_are_delivered_in_order_or_counted() {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let (handle, mut drain) = (subscriber.handle(), drain.unwrap());
    let dispatch = tracing::Dispatch::new(subscriber);
    let (done, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let delivered = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let name = next.fetch_add(1, Ordering::Relaxed);
                        if name >= MADE / OF_A_THREAD {
                            return;
                        }
                        let work = move || {
                            for number in 0..OF_A_THREAD {
                                tracing::info_span!("made", name, number).in_scope(|| ());
                            }
                        };
                        let dispatch = &dispatch;
                        scope
                            .spawn(move || tracing::dispatcher::with_default(dispatch, work))
                            .join()
                            .unwrap();
                    }
                })
            })
            .collect();
        let drainer = scope.spawn(|| {
            let threads = usize::try_from(MADE / OF_A_THREAD).unwrap();
            let (mut delivered, mut last) = (0, vec![None; threads]);
            loop {
                let is_done = done.load(Ordering::Acquire);
                delivered += drain.pass(|span| {
                    let span = span.to_finished().unwrap();
                    let number = |name| match span.attribute(name) {
                        Some(AttributeValue::Integer(number)) => usize::try_from(*number).unwrap(),
                        other => panic!("{other:?}"),
                    };
                    let (of, number) = (number("name"), number("number"));
                    assert!(last[of] < Some(number), "{number} of {of} after {:?}", last[of]);
                    last[of] = Some(number);
                });
                if is_done {
                    return delivered as u64;
                }
                drain.doze(Duration::from_millis(1), || true);
            }
        });
        makers.into_iter().for_each(|maker| maker.join().unwrap());
        done.store(true, Ordering::Release);
        handle.wake_drain();
        drainer.join().unwrap()
    });
    assert_eq!((delivered, delivered + handle.dropped()), (handle.finished(), MADE));
    assert!(delivered > 0);
    assert!(
        handle.ring_bytes() <= 256 << 10,
        "the rings of threads that are gone are gone: {}",
        handle.ring_bytes()
    );
}

#[test]
fn records_of_any_length_come_whole_and_in_order_and_what_is_too_long_is_counted() {
    let options =
        LanesOptions { ring_max_bytes: 16 << 10, rings_max_bytes: 1 << 20, beside_max_bytes: 40 << 10 };
    let (lanes, mut drain) = lanes(options);
    let mut expected = Vec::new();
    let mut sum = 0;
    for round in 0..200_usize {
        for length in [0, 1, 7, 8, 9, 100, 4_095, 4_097, 30_000] {
            let bytes: Vec<u8> =
                (0..length + round).map(|at| u8::try_from((at + round) % 251).unwrap()).collect();
            if lanes.put_bytes(&bytes) {
                expected.push(bytes);
            }
            sum += 1;
        }
        if round % 2 == 0 {
            let mut came = Vec::new();
            drain.pass(|_, record| {
                let mut bytes = Vec::new();
                record.append_to(&mut bytes);
                came.push(bytes);
            });
            assert!(came == std::mem::take(&mut expected), "round {round}");
        }
    }
    assert_eq!(lanes.put_count() + lanes.dropped_count(), sum);
    assert!(lanes.dropped_count() > 0, "two rounds do not fit");
    assert!(!lanes.put_bytes(&vec![0; 40 << 10 | 1]), "longer than all that may lie beside");
}

#[test]
fn a_line_that_is_longer_than_what_is_left_for_a_ring_goes_beside_it_and_keeps_its_place() {
    // Room for the ring that is shared and for a first one, and for the former alone.
    for rings_max_bytes in [36 << 10, 32 << 10] {
        let (lanes, mut drain) =
            lanes(LanesOptions { ring_max_bytes: 256 << 10, rings_max_bytes, beside_max_bytes: 128 << 10 });
        for round in 0..100_u8 {
            let records = [1, 5_000, 2, 40_000, 64 << 10, 3].map(|length| vec![round; length]);
            assert!(records.iter().all(|bytes| lanes.put_bytes(bytes)), "{rings_max_bytes}: {round}");
            let mut came = Vec::new();
            drain.pass(|_, record| {
                let mut bytes = Vec::new();
                record.append_to(&mut bytes);
                came.push(bytes);
            });
            assert!(came == records, "{rings_max_bytes}: {round}");
        }
        assert_eq!((lanes.put_count(), lanes.dropped_count()), (600, 0));
        assert!(lanes.ring_bytes() <= rings_max_bytes);
    }
}

#[test]
fn threads_beyond_the_most_share_a_ring() {
    let (lanes, mut drain) =
        lanes(LanesOptions { ring_max_bytes: 64 << 10, rings_max_bytes: 72 << 10, beside_max_bytes: 0 });
    let gate = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (lanes, gate) = (lanes.clone(), &gate);
            scope.spawn(move || {
                for number in 0..100 {
                    assert!(lanes.put_bytes(&[thread, number]));
                }
                // All have their rings at once.
                gate.wait();
            });
        }
    });
    let mut next = [0; 8];
    let count = drain.pass(|_, record| {
        let mut bytes = Vec::new();
        Record::append_to(&record, &mut bytes);
        assert_eq!(next[usize::from(bytes[0])], bytes[1]);
        next[usize::from(bytes[0])] += 1;
    });
    assert_eq!((count, lanes.put_count(), lanes.dropped_count()), (800, 800, 0));
}
