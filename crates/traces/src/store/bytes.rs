//! Integers of variable length and texts, one after the other.

use std::str;

/// Most bytes of a 64-bit integer in groups of seven bits.
const VARINT_BYTES_MAX: u32 = 10;

/// Bytes that nobody here wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// LEB128: seven bits a byte, the lowest first.
    pub(crate) fn unsigned(&mut self, mut value: u64) {
        loop {
            let low = value.to_le_bytes()[0] & 0x7f;
            value >>= 7;
            if value == 0 {
                return self.byte(low);
            }
            self.byte(low | 0x80);
        }
    }

    /// Zigzag: small absolute values are short.
    pub(crate) fn signed(&mut self, value: i64) {
        self.unsigned((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
    }

    pub(crate) fn size(&mut self, value: usize) {
        self.unsigned(value as u64);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.size(text.len());
        self.raw(text.as_bytes());
    }
}

/// Takes from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn raw<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.raw()?;
        Ok(byte)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for group in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * group);
            if shifted >> (7 * group) != bits {
                return Err(Malformed);
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(crate) fn narrow(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.unsigned()?).map_err(|_| Malformed)
    }

    /// A number of things that take at least a byte each.
    pub(crate) fn size(&mut self) -> Result<usize, Malformed> {
        let value = usize::try_from(self.unsigned()?).map_err(|_| Malformed)?;
        if value <= self.rest.len() { Ok(value) } else { Err(Malformed) }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.size()?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        str::from_utf8(text).map_err(|_| Malformed)
    }

    /// That all was taken.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length_come_back() {
        let numbers = [0, 1, -1, 63, 64, -65, i64::from(i32::MAX), i64::MIN, i64::MAX];
        let mut writer = Writer::default();
        numbers.iter().for_each(|number| writer.signed(*number));
        let mut reader = Reader::new(&writer.bytes);
        let back: Vec<i64> = numbers.iter().map(|_| reader.signed().expect("it was written")).collect();
        assert_eq!(back, numbers);
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(reader.byte(), Err(Malformed));
    }

    #[test]
    fn an_integer_of_more_than_64_bits_is_malformed() {
        assert_eq!(Reader::new(&[0xff; 10]).unsigned(), Err(Malformed));
        let mut bytes = [0xff; 10];
        bytes[9] = 0x7f;
        assert_eq!(Reader::new(&bytes).unsigned(), Err(Malformed));
    }
}
