//! Blocks of many series as one: what a page of the database leaves unused is lost once for all of them.
//!
//! In front is a directory, checksummed by itself, so that damage to one block leaves the others; each of these has its own
//! checksum already.

use super::{Malformed, Reader, Writer, sealed, unsealed};

/// Series by their numbers, ascending, each with its block.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    directory: Writer,
    count: usize,
    next: u32,
    first: Option<u32>,
    blocks: Vec<u8>,
}

impl Bundle {
    pub(crate) fn push(&mut self, series: u32, block: &[u8]) {
        self.first.get_or_insert(series);
        self.directory.unsigned(u64::from(series - self.next));
        self.directory.size(block.len());
        self.next = series + 1;
        self.count += 1;
        self.blocks.extend_from_slice(block);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.blocks.len()
    }

    /// The first series; nothing when there is none.
    pub(crate) fn first(&self) -> Option<u32> {
        self.first
    }

    /// All of it, for the key under which it is kept.
    pub(crate) fn encode(&self, key: i64) -> Vec<u8> {
        let mut directory = Writer::default();
        directory.size(self.count);
        directory.bytes.extend_from_slice(&self.directory.bytes);
        let directory = sealed(key, &directory.bytes);
        let mut out = Writer::default();
        out.size(directory.len());
        out.bytes.extend_from_slice(&directory);
        out.bytes.extend_from_slice(&self.blocks);
        out.bytes
    }
}

/// The block of a series in a bundle; nothing when it has none.
pub(crate) fn find_in_bundle(key: i64, bundle: &[u8], series: u32) -> Result<Option<&[u8]>, Malformed> {
    let mut input = Reader::new(bundle);
    let length = input.size(bundle.len())?;
    let mut directory = Reader::new(unsealed(key, input.slice(length)?)?);
    let blocks = input.rest;
    let (mut next, mut start) = (0_u64, 0_usize);
    for _ in 0..directory.size(bundle.len())? {
        let here = next + u64::from(directory.narrow()?);
        let length = directory.size(blocks.len())?;
        let end = start.checked_add(length).ok_or(Malformed)?;
        if here == u64::from(series) {
            return blocks.get(start..end).map(Some).ok_or(Malformed);
        }
        (next, start) = (here + 1, end);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_block_is_found_and_no_other(
            blocks in proptest::collection::btree_map(0_u32..200, any::<Vec<u8>>(), 0..40),
        ) {
            let mut bundle = Bundle::default();
            blocks.iter().for_each(|(series, block)| bundle.push(*series, block));
            prop_assert_eq!(bundle.first(), blocks.keys().next().copied());
            let bytes = bundle.encode(77);
            for series in 0..201 {
                let expected = blocks.get(&series).map(Vec::as_slice);
                prop_assert_eq!(find_in_bundle(77, &bytes, series), Ok(expected));
            }
            prop_assert_eq!(find_in_bundle(78, &bytes, 0), Err(Malformed), "under another key");
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, series: u32) {
            prop_assert!(find_in_bundle(1, &bytes, series).is_err() || bytes.len() >= 5);
        }
    }
}
