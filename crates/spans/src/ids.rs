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

thread_local! {
    /// The state of this thread's generator, seeded from the system's randomness.
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Ids need to be spread, not
/// to be secret.
fn random() -> u64 {
    STATE.with(|state| {
        let seed = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(seed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_across_threads_and_survive_their_text() {
        let make = || (0..1_000).map(|_| TraceId::generate()).collect::<Vec<_>>();
        let mut all = make();
        all.extend((0..4).map(|_| std::thread::spawn(make)).flat_map(|thread| thread.join().unwrap()));
        assert!(all.iter().all(|id| id.to_string().parse() == Ok(*id)));
        let distinct: std::collections::HashSet<_> = all.iter().copied().collect();
        assert_eq!(distinct.len(), 5_000);
    }
}
