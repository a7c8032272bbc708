//! How rows and series are written: in the journal, and the series in the database too.

use crate::codec::{Malformed, Reader, Writer};
use crate::series::{Kind, SERIES_ID_MAX, SeriesId, SeriesKey};

/// The only form of record so far.
const FORM: u8 = 1;

/// What the journal keeps of one call: the series that are new since the last, and a row of samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) row_number: u64,
    pub(crate) at_ms: i64,
    pub(crate) series: Vec<(SeriesId, SeriesKey)>,
    /// By series.
    pub(crate) row: Vec<(SeriesId, f64)>,
}

/// Writes a record.
pub(crate) fn encode<'k>(
    row_number: u64,
    at_ms: i64,
    series: impl ExactSizeIterator<Item = (SeriesId, &'k SeriesKey)>,
    row: &[(SeriesId, f64)],
) -> Vec<u8> {
    let mut out = Writer::default();
    out.byte(FORM);
    out.unsigned(row_number);
    out.signed(at_ms);
    out.size(series.len());
    for (id, key) in series {
        out.unsigned(u64::from(id.0));
        encode_key(key, &mut out);
    }
    out.size(row.len());
    let mut next = 0;
    for (id, value) in row {
        out.signed(i64::from(id.0) - next);
        next = i64::from(id.0) + 1;
        // Whole numbers end in many zero bits.
        let bytes = value.to_be_bytes();
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        out.byte(u8::try_from(length).expect("a float has eight bytes"));
        out.bytes.extend_from_slice(&bytes[..length]);
    }
    out.bytes
}

/// Reads a record.
pub(crate) fn decode(payload: &[u8]) -> Result<Record, Malformed> {
    let mut input = Reader::new(payload);
    if input.byte()? != FORM {
        return Err(Malformed);
    }
    let (row_number, at_ms) = (input.unsigned()?, input.signed()?);
    let mut series = Vec::new();
    for _ in 0..input.size(payload.len())? {
        let id = series_id(i64::from(input.narrow()?))?;
        series.push((id, decode_key(&mut input)?));
    }
    let mut row = Vec::new();
    let mut next = 0_i64;
    for _ in 0..input.size(payload.len())? {
        let id = series_id(next.checked_add(input.signed()?).ok_or(Malformed)?)?;
        next = i64::from(id.0) + 1;
        let length = usize::from(input.byte()?);
        let mut bytes = [0; 8];
        bytes.get_mut(..length).ok_or(Malformed)?.copy_from_slice(input.slice(length)?);
        row.push((id, f64::from_be_bytes(bytes)));
    }
    input.end()?;
    Ok(Record { row_number, at_ms, series, row })
}

pub(crate) fn series_id(number: i64) -> Result<SeriesId, Malformed> {
    u32::try_from(number).ok().filter(|id| *id <= SERIES_ID_MAX).map(SeriesId).ok_or(Malformed)
}

/// Writes what a series is called.
pub(crate) fn encode_key(key: &SeriesKey, out: &mut Writer) {
    out.byte(match key.kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
    });
    out.text(&key.name);
    out.size(key.labels.len());
    for (name, value) in &key.labels {
        out.text(name);
        out.text(value);
    }
}

/// Reads what [`encode_key`] wrote.
pub(crate) fn decode_key(input: &mut Reader<'_>) -> Result<SeriesKey, Malformed> {
    let kind = match input.byte()? {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        _ => return Err(Malformed),
    };
    let name = input.text()?.to_owned();
    let mut labels = Vec::new();
    for _ in 0..input.size(input.rest.len())? {
        labels.push((input.text()?.to_owned(), input.text()?.to_owned()));
    }
    Ok(SeriesKey { name, labels, kind })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_back(
            row_number: u64,
            at_ms: i64,
            labels: Vec<(String, String)>,
            row in proptest::collection::btree_map(0_u32..5000, any::<u64>(), 0..20),
        ) {
            let key = SeriesKey { name: "requests_total".to_owned(), labels, kind: Kind::Counter };
            let row: Vec<(SeriesId, f64)> =
                row.into_iter().map(|(id, bits)| (SeriesId(id), f64::from_bits(bits))).collect();
            let bytes = encode(row_number, at_ms, [(SeriesId(7), &key)].into_iter(), &row);
            let back = decode(&bytes).expect("it was written");
            prop_assert_eq!((back.row_number, back.at_ms), (row_number, at_ms));
            prop_assert_eq!(back.series, vec![(SeriesId(7), key)]);
            let bits = |row: &[(SeriesId, f64)]| row.iter().map(|(id, v)| (*id, v.to_bits())).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back.row), bits(&row));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            drop(decode(&bytes));
        }
    }
}
