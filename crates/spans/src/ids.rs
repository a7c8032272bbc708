//! Ids of traces and spans: random, never zero, shown in lower-case hexadecimal.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

/// A text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is {digits} lower-case hexadecimal digits, not all zero")]
pub struct InvalidTraceId {
    digits: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $bytes:literal, $random:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name($int);

        impl $name {
            /// A new id.
            #[inline]
            pub fn generate() -> Self {
                let random: fn() -> $int = $random;
                loop {
                    let value = random();
                    if value != 0 {
                        return Self(value);
                    }
                }
            }

            /// The id, most significant byte first.
            pub fn to_bytes(self) -> [u8; $bytes] {
                self.0.to_be_bytes()
            }

            /// The id that these bytes are, most significant first; none when all are zero.
            pub fn from_bytes(bytes: [u8; $bytes]) -> Option<Self> {
                let value = <$int>::from_be_bytes(bytes);
                (value != 0).then_some(Self(value))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = $bytes * 2)
            }
        }

        impl FromStr for $name {
            type Err = InvalidTraceId;

            fn from_str(text: &str) -> Result<Self, InvalidTraceId> {
                let digits = $bytes * 2;
                let plain = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let value = if plain { <$int>::from_str_radix(text, 16).unwrap_or(0) } else { 0 };
                if value == 0 { Err(InvalidTraceId { digits }) } else { Ok(Self(value)) }
            }
        }
    };
}

id!(
    /// Names a trace: 16 bytes.
    TraceId, u128, 16, || (u128::from(random()) << 64) | u128::from(random())
);
id!(
    /// Names a span: 8 bytes.
    SpanId, u64, 8, random
);

impl TraceId {
    /// The id of which these are the upper and the lower half; none of zeros.
    pub(crate) fn from_halves(high: u64, low: u64) -> Option<Self> {
        let value = u128::from(high) << 64 | u128::from(low);
        (value != 0).then_some(Self(value))
    }

    #[expect(clippy::cast_possible_truncation, reason = "its halves")]
    pub(crate) fn halves(self) -> (u64, u64) {
        ((self.0 >> 64) as u64, self.0 as u64)
    }
}

impl SpanId {
    /// The id in a word; none of zero.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Self(word))
    }

    pub(crate) fn word(self) -> u64 {
        self.0
    }
}

thread_local! {
    /// The state of this thread's generator.
    static STATE: Cell<State> = const { Cell::new(UNSEEDED) };
}

/// A generator's state, not all zero once it is seeded.
type State = [u64; 4];

const UNSEEDED: State = [0; 4];

#[inline]
fn random() -> u64 {
    STATE.with(|cell| {
        let state = cell.get();
        // Its first word is never zero once it is seeded, but for one state in 2⁶⁴: then it is seeded anew.
        let (value, state) = step(if state[0] == 0 { seed() } else { state });
        cell.set(state);
        value
    })
}

#[cold]
/// The standard library takes a key from the system's randomness for each thread; hashed four ways it fills the state.
fn seed() -> State {
    let keyed = RandomState::new();
    // One bit is set, because a state of zeros would give nothing but zeros.
    [keyed.hash_one(0) | 1, keyed.hash_one(1), keyed.hash_one(2), keyed.hash_one(3)]
}

/// xoshiro256++ (Blackman, Vigna: "Scrambled linear pseudorandom number generators", 2021). Ids need to be spread, not
/// to be secret. A smaller state would have the threads of a large fleet run into each other's sequences.
#[inline]
fn step([a, b, c, d]: State) -> (u64, State) {
    let value = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
    let (c2, d2) = (c ^ a, d ^ b);
    (value, [a ^ d2, b ^ c2, c2 ^ (b << 17), d2.rotate_left(45)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the authors' reference implementation from the state 1, 2, 3, 4.
    #[test]
    fn the_generator_gives_the_reference_sequence() {
        let mut state = [1, 2, 3, 4];
        for expected in [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386] {
            let (value, next) = step(state);
            assert_eq!(value, expected);
            state = next;
        }
    }

    #[test]
    fn only_lower_case_digits_of_the_right_number_are_ids() {
        for (text, good) in [
            ("b7ad6b7169203331", true),
            ("0000000000000001", true),
            ("0000000000000000", false),
            ("B7AD6B7169203331", false),
            ("+7ad6b7169203331", false),
            ("b7ad6b716920333", false),
            ("b7ad6b71692033311", false),
            ("", false),
            ("üüüüüüüü", false),
        ] {
            let id = text.parse::<SpanId>();
            assert_eq!(id.is_ok(), good, "{text}");
            assert!(id.is_err() || id.unwrap().to_string() == text, "{text}");
        }
    }

    #[test]
    fn ids_differ_across_threads_and_survive_their_text_and_bytes() {
        let make = || (0..1_000).map(|_| TraceId::generate()).collect::<Vec<_>>();
        let mut all = make();
        all.extend((0..4).map(|_| std::thread::spawn(make)).flat_map(|thread| thread.join().unwrap()));
        assert!(all.iter().all(|id| id.to_string().parse() == Ok(*id)));
        assert!(all.iter().all(|id| TraceId::from_bytes(id.to_bytes()) == Some(*id)));
        assert_eq!(TraceId::from_bytes([0; 16]), None);
        let distinct: std::collections::HashSet<_> = all.iter().copied().collect();
        assert_eq!(distinct.len(), 5_000);
    }
}
