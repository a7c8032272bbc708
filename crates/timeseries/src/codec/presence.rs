//! Which rows of a chunk a series has samples in.

use super::{Malformed, Reader, Writer};

/// Rows `start`, `start + stride`, … in all `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    start: u32,
    stride: u32,
    count: u32,
}

impl Stretch {
    fn last(self) -> u32 {
        self.start + self.stride * (self.count - 1)
    }
}

/// Ascending rows. A series of every row, or of every other one, is a single stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    stretches: Vec<Stretch>,
    count: usize,
}

impl Presence {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.stretches.capacity() * size_of::<Stretch>()
    }

    pub(crate) fn last(&self) -> Option<u32> {
        self.stretches.last().map(|stretch| stretch.last())
    }

    /// Adds a row after the last one.
    pub(crate) fn push(&mut self, row: u32) {
        debug_assert!(self.last().is_none_or(|last| last < row), "rows ascend");
        self.count += 1;
        match self.stretches.last_mut() {
            Some(stretch) if stretch.count == 1 => {
                stretch.stride = row - stretch.start;
                stretch.count = 2;
            }
            Some(stretch) if row == stretch.last() + stretch.stride => stretch.count += 1,
            Some(_) | None => self.stretches.push(Stretch { start: row, stride: 1, count: 1 }),
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.stretches.iter().flat_map(|s| (0..s.count).map(|nth| s.start + s.stride * nth))
    }

    /// As a number of rows goes away in front: how many of ours went with them.
    pub(crate) fn drop_front(&mut self, rows: u32) -> usize {
        let before = self.count;
        let mut kept = Self::default();
        self.rows().filter_map(|row| row.checked_sub(rows)).for_each(|row| kept.push(row));
        *self = kept;
        before - self.count
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.size(self.stretches.len());
        let mut next = 0;
        for stretch in &self.stretches {
            out.unsigned(u64::from(stretch.start - next));
            out.unsigned(u64::from(stretch.count));
            if stretch.count > 1 {
                out.unsigned(u64::from(stretch.stride));
            }
            next = stretch.last() + 1;
        }
    }

    /// Reads what [`Presence::encode`] wrote for a chunk of so many rows.
    pub(crate) fn decode(input: &mut Reader<'_>, rows: usize) -> Result<Self, Malformed> {
        let mut presence = Self::default();
        let mut next = 0_u64;
        for _ in 0..input.size(rows)? {
            let (gap, count) = (u64::from(input.narrow()?), u64::from(input.narrow()?));
            let stride = if count > 1 { u64::from(input.narrow()?) } else { 1 };
            let start = next + gap;
            let steps = count.checked_sub(1).ok_or(Malformed)?;
            let last = stride.checked_mul(steps).map(|length| start + length).ok_or(Malformed)?;
            if stride == 0 || last >= rows as u64 {
                return Err(Malformed);
            }
            let narrow = |value: u64| u32::try_from(value).map_err(|_| Malformed);
            presence.stretches.push(Stretch {
                start: narrow(start)?,
                stride: narrow(stride)?,
                count: narrow(count)?,
            });
            presence.count += usize::try_from(count).map_err(|_| Malformed)?;
            next = last + 1;
        }
        Ok(presence)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(rows: &[u32], bytes: usize) {
        let mut presence = Presence::default();
        rows.iter().for_each(|row| presence.push(*row));
        let mut writer = Writer::default();
        presence.encode(&mut writer);
        assert!(writer.bytes.len() <= bytes, "{} bytes for {rows:?}", writer.bytes.len());
        let mut reader = Reader::new(&writer.bytes);
        let total = rows.last().map_or(0, |last| *last as usize + 1);
        let back = Presence::decode(&mut reader, total).expect("it was written");
        assert_eq!(reader.end(), Ok(()));
        assert!(back.rows().eq(rows.iter().copied()));
        assert_eq!(back.len(), rows.len());
    }

    #[test]
    fn every_row_and_every_other_are_one_stretch() {
        check(&[], 1);
        check(&[7], 3);
        check(&(0..1000).collect::<Vec<_>>(), 5);
        check(&(3..1000).step_by(2).collect::<Vec<_>>(), 5);
        check(&[0, 1, 2, 3, 9, 10, 11], 7);
    }

    proptest! {
        #[test]
        fn any_rows_come_back(rows in proptest::collection::btree_set(0_u32..500, 0..200)) {
            let rows: Vec<u32> = rows.into_iter().collect();
            check(&rows, 4 + rows.len() * 5);
        }

        #[test]
        fn the_front_goes_away(rows in proptest::collection::btree_set(0_u32..100, 0..50), cut in 0_u32..120) {
            let mut presence = Presence::default();
            rows.iter().for_each(|row| presence.push(*row));
            let gone = presence.drop_front(cut);
            prop_assert_eq!(gone, rows.iter().filter(|row| **row < cut).count());
            prop_assert!(presence.rows().eq(rows.iter().filter(|row| **row >= cut).map(|row| row - cut)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, rows in 0_usize..1000) {
            if let Ok(presence) = Presence::decode(&mut Reader::new(&bytes), rows) {
                prop_assert!(presence.len() <= rows);
                prop_assert!(presence.last().is_none_or(|last| (last as usize) < rows));
            }
        }
    }
}
