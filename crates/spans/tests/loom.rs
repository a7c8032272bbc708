//! The interleavings of the ring between its two sides, with every value that a weak memory may show.
//!
//!     RUSTFLAGS="--cfg loom" cargo test -p nkudo-spans --test loom --release --target-dir target/loom
//!
//! The ring is the code as it is. Not modelled is what has locks (who gets which ring) and the places of open spans, whose
//! words are written by one thread at a time. loom lets no load see a store that comes after it: that the reader has read what the
//! writer then overwrites rests on the pair of `tail`'s Release and Acquire, and not on this.
#![cfg(loom)]

// Parts that the models have no use for.
#[expect(dead_code, reason = "the models use a part of it")]
#[path = "../src/ring.rs"]
mod ring;
#[path = "../src/sync.rs"]
mod sync;

use loom::sync::atomic::AtomicU64;
use loom::thread;
use ring::{Put, Reader, ring};

fn words(words: &[u64]) -> Vec<AtomicU64> {
    words.iter().map(|word| AtomicU64::new(*word)).collect()
}

fn take(reader: &mut Reader, came: &mut Vec<u64>) {
    reader.read(|meta, words| {
        assert_eq!(words, [u64::from(meta), u64::from(meta) + 10], "a record comes whole");
        came.push(u64::from(meta));
    });
}

/// Three records of three words each through a ring of eight, so that the third needs the room of the first and goes over
/// the end.
#[test]
fn records_come_whole_and_in_order_or_are_counted() {
    loom::model(|| {
        let (writer, mut reader) = ring(8);
        let shared = reader.ring();
        let thread = thread::spawn(move || {
            let mut put = Vec::new();
            for meta in 1..=3_u32 {
                let record = words(&[u64::from(meta), u64::from(meta) + 10]);
                match writer.put(meta, &record[..]) {
                    Put::Full => writer.count_dropped(),
                    Put::Done | Put::Filling => put.push(u64::from(meta)),
                }
            }
            put
        });
        let mut came = Vec::new();
        take(&mut reader, &mut came);
        let put = thread.join().unwrap();
        take(&mut reader, &mut came);
        assert_eq!(came, put);
        assert_eq!((shared.put(), shared.put() + shared.dropped()), (put.len() as u64, 3));
    });
}

/// A reader that hears that nothing comes any more has read everything, or says that it is not over.
#[test]
fn nothing_is_left_behind_when_a_ring_is_over() {
    loom::model(|| {
        let (writer, mut reader) = ring(8);
        let thread = thread::spawn(move || {
            assert_ne!(writer.put(1, &words(&[1, 11])[..]), Put::Full);
            writer.retire();
        });
        let mut came = Vec::new();
        take(&mut reader, &mut came);
        if reader.is_over() {
            assert_eq!(came, [1]);
        }
        thread.join().unwrap();
        take(&mut reader, &mut came);
        assert!(reader.is_over() && reader.is_empty());
        assert_eq!(came, [1]);
    });
}
