//! Columns of 64-bit integers: differences of some order, their common factor taken out, in the narrowest type that
//! holds them, through [pco](https://github.com/pcodec/pcodec).
//!
//! pco takes differences too, but describes its bins in the width of the column: for the hundreds of numbers of a
//! block those descriptions are what costs. So differences are taken here, and pco sees what is left, in 16 or 32
//! bits where that is enough. Each order is tried and the shortest kept.
//!
//! | layout | |
//! |---|---|
//! | head | low 2 bits: order; next 2: how the rest is coded |
//! | `order` integers | the first of the column, of its differences, … |
//! | least, factor | each of the rest is `least + factor * n` |
//! | the rest | the `n`: none (all zero), variable length, pco of 16, 32 or 64 bits |

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec};

use super::{Malformed, Reader, Writer};

/// Differences of differences are the highest order that is tried.
const ORDER_MAX: usize = 2;
/// Shorter columns are not worth the head of pco.
const PCO_LENGTH_MIN: usize = 24;

const CODING_NONE: u8 = 0;
const CODING_VARINT: u8 = 1;
const CODING_NARROW: u8 = 2;
const CODING_WIDE: u8 = 3;

/// Appends a column.
pub(crate) fn encode_ints(numbers: &[i64], out: &mut Writer) {
    let mut left = numbers.to_vec();
    let mut firsts = Vec::new();
    let mut best: Option<Vec<u8>> = None;
    for order in 0..=ORDER_MAX {
        if order > 0 {
            let Some(first) = left.first() else { break };
            firsts.push(*first);
            left = left.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        }
        let coded = encode_order(&firsts, &left);
        if best.as_ref().is_none_or(|best| coded.len() < best.len()) {
            best = Some(coded);
        }
    }
    out.bytes.extend(best.expect("order 0 is always tried"));
}

fn encode_order(firsts: &[i64], left: &[i64]) -> Vec<u8> {
    let least = left.iter().copied().min().unwrap_or(0);
    let above = |number: &i64| number.wrapping_sub(least).cast_unsigned();
    let factor = left.iter().map(above).fold(0, gcd).max(1);
    let reduced: Vec<u64> = left.iter().map(|number| above(number) / factor).collect();
    let (coding, body) = encode_reduced(&reduced);
    let order = u8::try_from(firsts.len()).expect("the order is at most two");
    let mut out = Writer::default();
    out.byte(order | coding << 2);
    firsts.iter().for_each(|first| out.signed(*first));
    out.signed(least);
    out.unsigned(factor);
    out.bytes.extend(body);
    out.bytes
}

fn encode_reduced(reduced: &[u64]) -> (u8, Vec<u8>) {
    let most = reduced.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return (CODING_NONE, Vec::new());
    }
    let mut plain = Writer::default();
    reduced.iter().for_each(|number| plain.unsigned(*number));
    if reduced.len() < PCO_LENGTH_MIN {
        return (CODING_VARINT, plain.bytes);
    }
    let narrow = |number: &u64| u16::try_from(*number).ok();
    let wide = |number: &u64| u32::try_from(*number).ok();
    let (coding, packed) = if let Some(column) = reduced.iter().map(narrow).collect::<Option<Vec<u16>>>() {
        (CODING_NARROW, pack(0, &column))
    } else if let Some(column) = reduced.iter().map(wide).collect::<Option<Vec<u32>>>() {
        (CODING_WIDE, pack(0, &column))
    } else {
        (CODING_WIDE, pack(1, reduced))
    };
    if packed.len() < plain.bytes.len() { (coding, packed) } else { (CODING_VARINT, plain.bytes) }
}

/// The column through pco, after a byte that says which of the types of a coding it is.
fn pack<T: Number>(width: u8, column: &[T]) -> Vec<u8> {
    let mut out = vec![width];
    pco_encode(column, &ChunkConfig::default().with_delta_spec(DeltaSpec::NoOp), &mut out);
    out
}

/// Appends a column of any type that pco knows.
pub(super) fn pco_encode<T: Number>(column: &[T], config: &ChunkConfig, out: &mut Vec<u8>) {
    const PROOF: &str = "pco takes every column below 2^24 numbers, and a vector takes all bytes";
    let file = FileCompressor::default();
    file.write_header(&mut *out).expect(PROOF);
    let mut chunk = file.chunk_compressor(column, config).expect(PROOF);
    chunk.write_meta(&mut *out).expect(PROOF);
    chunk.write_page(0, &mut *out).expect(PROOF);
}

/// Reads a column of a known length; all of the rest belongs to it.
pub(super) fn pco_decode<T: Number + Default>(
    input: &mut Reader<'_>,
    length: usize,
) -> Result<Vec<T>, Malformed> {
    let (file, rest) = FileDecompressor::new(input.rest).map_err(|_| Malformed)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).map_err(|_| Malformed)?;
    let mut page = chunk.page_decompressor(rest, length).map_err(|_| Malformed)?;
    let mut column = vec![T::default(); length];
    let progress = page.read(&mut column).map_err(|_| Malformed)?;
    if progress.n_processed != length || !progress.finished {
        return Err(Malformed);
    }
    input.rest = page.into_src();
    Ok(column)
}

/// Reads a column of a known length.
pub(crate) fn decode_ints(input: &mut Reader<'_>, length: usize) -> Result<Vec<i64>, Malformed> {
    let head = input.byte()?;
    let order = usize::from(head & 3);
    if order > ORDER_MAX || order > length || head >> 4 != 0 {
        return Err(Malformed);
    }
    let mut firsts = Vec::with_capacity(order);
    for _ in 0..order {
        firsts.push(input.signed()?);
    }
    let (least, factor) = (input.signed()?, input.unsigned()?);
    let reduced = decode_reduced(head >> 2, input, length - order)?;
    let restored = reduced.iter().map(|n| least.wrapping_add(n.wrapping_mul(factor).cast_signed()));
    let mut numbers: Vec<i64> = restored.collect();
    for first in firsts.into_iter().rev() {
        let mut running = first;
        let mut summed = Vec::with_capacity(numbers.len() + 1);
        summed.push(running);
        for difference in numbers {
            running = running.wrapping_add(difference);
            summed.push(running);
        }
        numbers = summed;
    }
    Ok(numbers)
}

fn decode_reduced(coding: u8, input: &mut Reader<'_>, length: usize) -> Result<Vec<u64>, Malformed> {
    match coding {
        CODING_NONE => Ok(vec![0; length]),
        CODING_VARINT => (0..length).map(|_| input.unsigned()).collect(),
        CODING_NARROW => match input.byte()? {
            0 => Ok(pco_decode::<u16>(input, length)?.into_iter().map(u64::from).collect()),
            _ => Err(Malformed),
        },
        _ => match input.byte()? {
            0 => Ok(pco_decode::<u32>(input, length)?.into_iter().map(u64::from).collect()),
            1 => pco_decode::<u64>(input, length),
            _ => Err(Malformed),
        },
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(numbers: &[i64]) -> usize {
        let mut out = Writer::default();
        encode_ints(numbers, &mut out);
        let mut reader = Reader::new(&out.bytes);
        assert_eq!(decode_ints(&mut reader, numbers.len()).as_deref(), Ok(numbers));
        assert_eq!(reader.end(), Ok(()));
        out.bytes.len()
    }

    #[test]
    fn a_regular_column_costs_next_to_nothing() {
        assert!(check(&[]) <= 3);
        assert!(check(&[5]) <= 12);
        assert!(check(&(0..5000).map(|n| 1_700_000_000_000 + n * 15_000).collect::<Vec<i64>>()) <= 20);
        check(&[i64::MIN, i64::MAX, 0, -1, 1]);
    }

    proptest! {
        #[test]
        fn any_integers_come_back(numbers: Vec<i64>) {
            check(&numbers);
        }

        #[test]
        fn walks_of_any_step_come_back(steps in proptest::collection::vec(-300_i64..300, 0..600), scale in 1_i64..5000) {
            let walk = steps.iter().scan(0, |at, step| { *at += step * scale; Some(*at) });
            check(&walk.collect::<Vec<i64>>());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, length in 0_usize..300) {
            drop(decode_ints(&mut Reader::new(&bytes), length));
        }
    }
}
