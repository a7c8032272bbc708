//! Columns of 64-bit floats: as decimals where they are such, and else as they are.
//!
//! What hosts tell are whole numbers and hundredths. A float is a decimal of so many places when it is the float
//! nearest to that decimal; then its digits are kept as an integer, which takes fewer bits than the float. What is no
//! such decimal (a NaN with its payload, an infinity, minus zero) is kept aside with its place.
//!
//! **Invariant:** what was encoded is decoded and compared before it is kept, bit by bit; a column that did not come
//! back is written as it is.

use pco::ChunkConfig;

use super::ints::{pco_decode, pco_encode};
use super::{Malformed, Reader, Writer, decode_ints, encode_ints};

const TAG_SAME: u8 = 0;
const TAG_DECIMAL: u8 = 1;
const TAG_FLOAT: u8 = 2;
const TAG_PLAIN: u8 = 3;

/// Ten to the power of the number of places.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Integers up to here are floats without loss.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// When more than one in so many is no decimal, the column is none.
const ASIDE_SHARE: usize = 8;

/// Appends a column.
pub(crate) fn encode_values(values: &[f64], out: &mut Writer) {
    let Some(first) = values.first() else { return };
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        out.byte(TAG_SAME);
        return out.fixed(first.to_bits());
    }
    let mut best = plain(values);
    for coded in [decimal(values), Some(float(values))].into_iter().flatten() {
        if coded.len() < best.len() && comes_back(&coded, values) {
            best = coded;
        }
    }
    out.bytes.extend(best);
}

fn comes_back(coded: &[u8], values: &[f64]) -> bool {
    let mut reader = Reader::new(coded);
    let decoded = decode_values(&mut reader, values.len());
    let same = |back: Vec<f64>| back.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits());
    reader.end().is_ok() && decoded.is_ok_and(same)
}

fn plain(values: &[f64]) -> Vec<u8> {
    let mut out = Writer::default();
    out.byte(TAG_PLAIN);
    values.iter().for_each(|value| out.fixed(value.to_bits()));
    out.bytes
}

fn float(values: &[f64]) -> Vec<u8> {
    let mut out = vec![TAG_FLOAT];
    pco_encode(values, &ChunkConfig::default(), &mut out);
    out
}

fn decimal(values: &[f64]) -> Option<Vec<u8>> {
    let places = places(values)?;
    let mut aside = Writer::default();
    let (mut count, mut next) = (0, 0);
    let mut last = 0;
    let mut digits = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        if let Some(number) = digits_of(*value, places) {
            last = number;
        } else {
            aside.size(at - next);
            aside.fixed(value.to_bits());
            (count, next) = (count + 1, at + 1);
        }
        // In the place of what is aside stands what costs least.
        digits.push(last);
    }
    if count > values.len() / ASIDE_SHARE {
        return None;
    }
    let mut out = Writer::default();
    out.byte(TAG_DECIMAL);
    out.byte(u8::try_from(places).expect("there are ten powers"));
    out.size(count);
    out.bytes.extend(aside.bytes);
    encode_ints(&digits, &mut out);
    Some(out.bytes)
}

/// How many places suffice for all, or for nearly all.
fn places(values: &[f64]) -> Option<usize> {
    let mut most = 0;
    let mut others = 0;
    for value in values {
        if let Some(needed) = (most..POWERS.len()).find(|places| digits_of(*value, *places).is_some()) {
            most = needed;
        } else {
            others += 1;
            if others > values.len() / ASIDE_SHARE {
                return None;
            }
        }
    }
    Some(most)
}

#[expect(clippy::cast_possible_truncation, reason = "it is whole and no larger than 2^53")]
fn digits_of(value: f64, places: usize) -> Option<i64> {
    let scaled = (value * POWERS[places]).round();
    // A NaN is not below anything.
    if scaled.abs() <= WHOLE_MAX && (scaled / POWERS[places]).to_bits() == value.to_bits() {
        let number = scaled as i64;
        // Minus zero is the one whole float that its integer does not give back.
        return (number != 0 || value.is_sign_positive()).then_some(number);
    }
    None
}

/// Reads a column of a known length; all of the rest belongs to it.
pub(crate) fn decode_values(input: &mut Reader<'_>, length: usize) -> Result<Vec<f64>, Malformed> {
    if length == 0 {
        return Ok(Vec::new());
    }
    match input.byte()? {
        TAG_SAME => Ok(vec![f64::from_bits(input.fixed()?); length]),
        TAG_DECIMAL => decode_decimal(input, length),
        TAG_FLOAT => pco_decode(input, length),
        TAG_PLAIN => {
            if input.rest.len() / 8 < length {
                return Err(Malformed);
            }
            (0..length).map(|_| input.fixed().map(f64::from_bits)).collect()
        }
        _ => Err(Malformed),
    }
}

fn decode_decimal(input: &mut Reader<'_>, length: usize) -> Result<Vec<f64>, Malformed> {
    let power = *POWERS.get(usize::from(input.byte()?)).ok_or(Malformed)?;
    let count = input.size(length)?;
    let mut aside = Vec::new();
    let mut next = 0;
    for _ in 0..count {
        let at = next + input.size(length - next)?;
        if at >= length {
            return Err(Malformed);
        }
        aside.push((at, f64::from_bits(input.fixed()?)));
        next = at + 1;
    }
    let digits = decode_ints(input, length)?;
    let mut values: Vec<f64> = digits.into_iter().map(|number| number as f64 / power).collect();
    for (at, value) in aside {
        values[at] = value;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[f64]) -> usize {
        let mut out = Writer::default();
        encode_values(values, &mut out);
        assert!(comes_back(&out.bytes, values), "{values:?}");
        out.bytes.len()
    }

    #[test]
    fn what_is_no_decimal_comes_back_to_the_bit() {
        let stale = f64::from_bits(0x7ff0_0000_0000_0002);
        check(&[]);
        check(&[-0.0]);
        check(&[
            0.0,
            -0.0,
            1.0,
            f64::NAN,
            stale,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
        ]);
        let mut hundredths: Vec<f64> = (0..480).map(|n| f64::from(n * n) / 100.0).collect();
        let whole = check(&hundredths);
        hundredths[100] = stale;
        hundredths[101] = -0.0;
        assert!(check(&hundredths) < whole + 60);
    }

    #[test]
    fn decimals_are_shorter_than_floats() {
        let busy: Vec<f64> =
            (0..480).map(|n| 17_342.05 + f64::from(n * 4 + (n * 7919) % 5) / 100.0).collect();
        assert!(check(&busy) < 300, "{}", check(&busy));
        assert_eq!(check(&[3.5; 480]), 9);
    }

    proptest! {
        #[test]
        fn any_bits_come_back(bits: Vec<u64>) {
            check(&bits.into_iter().map(f64::from_bits).collect::<Vec<f64>>());
        }

        #[test]
        fn floats_among_decimals_come_back(
            values in proptest::collection::vec(prop_oneof![
                8 => (-100_000_i32..100_000, 0_usize..10).prop_map(|(n, places)| f64::from(n) / POWERS[places]),
                1 => any::<u64>().prop_map(f64::from_bits),
            ], 0..400),
        ) {
            check(&values);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, length in 0_usize..300) {
            drop(decode_values(&mut Reader::new(&bytes), length));
        }
    }
}
