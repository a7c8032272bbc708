//! Numbers to bytes and back, exact to the last bit.
//!
//! What is encoded here is kept for a month on disks that fail: readers take any bytes and answer [`Malformed`], never
//! with a panic and never with more memory than the caller allowed.

mod bundle;
mod ints;
mod presence;
mod values;

pub(crate) use bundle::{Bundle, find_in_bundle};
pub(crate) use ints::{decode_ints, encode_ints};
pub(crate) use nkudo_journal::bytes::{Malformed, Reader, Writer};
pub(crate) use presence::Presence;
pub(crate) use values::{decode_values, encode_values};

/// Payload with a checksum (CRC-32, IEEE) that also covers the key under which it is kept, so that a block which was
/// found in another's place is not taken for it.
pub(crate) fn sealed(key: i64, payload: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(payload.len() + CHECKSUM_BYTES);
    all.extend_from_slice(payload);
    all.extend_from_slice(&checksum(key, payload).to_le_bytes());
    all
}

/// The payload of what [`sealed`] made.
pub(crate) fn unsealed(key: i64, all: &[u8]) -> Result<&[u8], Malformed> {
    let (payload, found) = all.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Malformed)?;
    if u32::from_le_bytes(*found) == checksum(key, payload) { Ok(payload) } else { Err(Malformed) }
}

const CHECKSUM_BYTES: usize = 4;

fn checksum(key: i64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&key.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
