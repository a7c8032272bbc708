//! What the payload of a record may be made of: integers of variable length, texts and raw bytes, one after the other.
//!
//! ```
//! use nkudo_journal::bytes::{Malformed, Reader, Writer};
//!
//! let mut writer = Writer::default();
//! writer.signed(-3);
//! writer.text("three");
//! assert_eq!(writer.bytes.len(), 7);
//! let mut reader = Reader::new(&writer.bytes);
//! assert_eq!((reader.signed(), reader.text(), reader.end()), (Ok(-3), Ok("three"), Ok(())));
//! assert_eq!(reader.byte(), Err(Malformed));
//! ```
//!
//! Readers take any bytes: what nothing of ours has written is [`Malformed`], never a panic.

use std::str;

/// Most bytes of a 64-bit integer in groups of seven bits.
const VARINT_BYTES_MAX: u32 = 10;

/// Bytes that nothing of ours has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not what was written")]
pub struct Malformed;

/// Appends to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    /// What was appended.
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// LEB128: seven bits a byte, the lowest first.
    pub fn unsigned(&mut self, mut value: u64) {
        loop {
            let low = value.to_le_bytes()[0] & 0x7f;
            value >>= 7;
            if value == 0 {
                return self.bytes.push(low);
            }
            self.bytes.push(low | 0x80);
        }
    }

    /// Zigzag: small absolute values are short.
    pub fn signed(&mut self, value: i64) {
        self.unsigned((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
    }

    pub fn size(&mut self, value: usize) {
        self.unsigned(value as u64);
    }

    /// Eight bytes, little-endian.
    pub fn fixed(&mut self, bits: u64) {
        self.raw(&bits.to_le_bytes());
    }

    /// Its length in bytes, and its bytes.
    pub fn text(&mut self, text: &str) {
        self.size(text.len());
        self.raw(text.as_bytes());
    }
}

/// Takes from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// What was not taken yet.
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// As many bytes as the array has.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn raw<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    /// # Errors
    /// When there is none.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.raw()?;
        Ok(byte)
    }

    /// LEB128.
    ///
    /// # Errors
    /// When it does not end, or has more than 64 bits.
    pub fn unsigned(&mut self) -> Result<u64, Malformed> {
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

    /// Zigzag.
    ///
    /// # Errors
    /// As of [`Reader::unsigned`].
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A number of things.
    ///
    /// # Errors
    /// When it is over the limit.
    pub fn size(&mut self, limit: usize) -> Result<usize, Malformed> {
        let value = usize::try_from(self.unsigned()?).map_err(|_| Malformed)?;
        if value <= limit { Ok(value) } else { Err(Malformed) }
    }

    /// An integer of 32 bits.
    ///
    /// # Errors
    /// When it is none.
    pub fn narrow(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.unsigned()?).map_err(|_| Malformed)
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn fixed(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.raw()?))
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn slice(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (first, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(first)
    }

    /// # Errors
    /// When it is longer than what is there, or no UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.count()?;
        str::from_utf8(self.slice(length)?).map_err(|_| Malformed)
    }

    /// A number of things that take at least a byte each.
    ///
    /// # Errors
    /// When there are not so many bytes.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        self.size(self.rest.len())
    }

    /// # Errors
    /// When not all was taken.
    pub fn end(&self) -> Result<(), Malformed> {
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
        let bytes = [0xff_u8; 10];
        assert_eq!(Reader::new(&bytes).unsigned(), Err(Malformed));
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(Reader::new(&bytes).unsigned(), Err(Malformed));
    }
}
