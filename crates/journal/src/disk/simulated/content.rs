//! The content of a simulated file: what was written, what is durable, and what a loss of power makes of the rest.

use std::mem;

use crate::random::Random;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A file without its name.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    now: Written,
    /// What was there before each cut since the last sync. It may have reached the disk, and the cut not.
    before_cuts: Vec<Written>,
    durable: Vec<u8>,
    /// A sync failed: what was not durable then never becomes so for sure, though later syncs say that it did.
    dropped: bool,
    /// How often it is open.
    pub(super) handles: usize,
}

/// What a file held between two cuts, at its longest.
#[derive(Debug, Clone, Default)]
struct Written {
    bytes: Vec<u8>,
    /// How long it was at first; what comes after was appended.
    start: usize,
}

impl Content {
    /// As it is found after a loss of power.
    pub(super) fn found(durable: Vec<u8>) -> Content {
        let now = Written { start: durable.len(), bytes: durable.clone() };
        Content { now, durable, ..Content::default() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.now.bytes
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.now.bytes.extend_from_slice(bytes);
    }

    /// Cuts it; nothing when it is not so long.
    pub(super) fn truncate(&mut self, length: usize) {
        if let Some((kept, _)) = self.now.bytes.split_at_checked(length) {
            let now = Written { bytes: kept.to_vec(), start: length };
            self.before_cuts.push(mem::replace(&mut self.now, now));
        }
    }

    pub(super) fn sync(&mut self, works: bool) {
        self.dropped |= !works;
        if self.dropped {
            return;
        }
        if self.before_cuts.is_empty() {
            // Only appended to: copying what is new keeps long files cheap.
            self.durable.extend_from_slice(&self.now.bytes[self.durable.len()..]);
        } else {
            self.durable.clone_from(&self.now.bytes);
            self.before_cuts.clear();
        }
        self.now.start = self.now.bytes.len();
    }

    /// Flips a bit of what is durable, and of what is read.
    pub(super) fn flip(&mut self, offset: usize, bit: u8) {
        let mask = 1 << (bit % 8);
        if offset < self.untouched() {
            self.now.bytes[offset] ^= mask;
        }
        self.durable[offset] ^= mask;
    }

    /// What a loss of power may leave: what is durable and was not cut, and of the rest nothing, everything, a beginning,
    /// or some sectors.
    pub(super) fn torn(&self, random: &mut Random) -> Vec<u8> {
        match random.below(4) {
            0 => self.durable.clone(),
            1 => self.now.bytes.clone(),
            2 => self.beginning(random),
            _ => self.sectors(random),
        }
    }

    fn beginning(&self, random: &mut Random) -> Vec<u8> {
        let several: Vec<&Written> = self.before_cuts.iter().chain([&self.now]).collect();
        let one = several[random.below(several.len())];
        let length = one.start + random.below(one.bytes.len() - one.start + 1);
        let untouched = self.untouched();
        let mut bytes = self.durable[..untouched].to_vec();
        bytes.extend_from_slice(&one.bytes[untouched..length]);
        bytes
    }

    /// As long as a beginning, of which each sector has what it shall have, what it once had, or zeros.
    fn sectors(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.beginning(random);
        let untouched = self.untouched();
        let before = self.before_cuts.iter().map(|written| written.bytes.as_slice());
        let old: Vec<&[u8]> = [&[], self.durable.as_slice()].into_iter().chain(before).collect();
        let first = untouched - untouched % SECTOR_BYTES;
        for sector in (first..bytes.len()).step_by(SECTOR_BYTES) {
            let source = if random.coin() { self.bytes() } else { old[random.below(old.len())] };
            for at in sector.max(untouched)..bytes.len().min(sector + SECTOR_BYTES) {
                bytes[at] = source.get(at).copied().unwrap_or(0);
            }
        }
        bytes
    }

    /// How much of the beginning was the same since the last sync.
    fn untouched(&self) -> usize {
        let starts = self.before_cuts.iter().map(|written| written.start);
        starts.fold(self.now.start.min(self.durable.len()), usize::min)
    }
}
