//! Texts in lines: nothing in them ends the line or commands a terminal.

use std::io::Write;

/// Appends a JSON string.
#[inline]
pub(crate) fn json_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    json_piece(text, out);
    out.push(b'"');
}

/// Appends a piece of a JSON string.
#[inline]
pub(crate) fn json_piece(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escaped(text, &['"', '\\'], out);
    }
}

/// Whether it is as it stands part of a JSON string. Whatever is not ASCII is looked at more closely.
#[inline]
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (chunks, rest) = bytes.as_chunks::<8>();
    match bytes.last_chunk::<8>() {
        // The last eight bytes overlap with the chunk before them.
        Some(last) => !chunks.iter().chain([last]).any(|chunk| has_odd(u64::from_le_bytes(*chunk))),
        None => rest.iter().all(|byte| (b' '..0x7f).contains(byte) && *byte != b'"' && *byte != b'\\'),
    }
}

/// Whether one of eight bytes is a quote, a backslash, or no printable ASCII.
///
/// A byte is zero where subtracting one borrows from its upper bit, which was not set (Lamport: "Multiple byte processing
/// with full-word instructions", 1975).
#[inline]
const fn has_odd(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const UPPER: u64 = ONES << 7;
    const fn has_zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let is_below_space = word.wrapping_sub(ONES * b' ' as u64) & !word;
    let is_delete = has_zero(word ^ (ONES * 0x7f));
    let is_quote = has_zero(word ^ (ONES * b'"' as u64));
    let is_backslash = has_zero(word ^ (ONES * b'\\' as u64));
    (word | is_below_space | is_delete | is_quote | is_backslash) & UPPER != 0
}

/// A text in which nothing ends the line or commands a terminal, with a backslash before each of `quoted`. JSON reads
/// every escape written here.
pub(crate) fn escaped(mut text: &str, quoted: &[char], out: &mut Vec<u8>) {
    while let Some(at) = text.find(|c| is_special(c) || quoted.contains(&c)) {
        let (plain, rest) = text.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut rest = rest.chars();
        match rest.next() {
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some('\t') => out.extend_from_slice(b"\\t"),
            Some(c) if is_special(c) => print(out, format_args!("\\u{:04x}", u32::from(c))),
            Some(c) => print(out, format_args!("\\{c}")),
            None => {}
        }
        text = rest.as_str();
    }
    out.extend_from_slice(text.as_bytes());
}

/// The control characters of ASCII and Latin-1, which terminals obey, Unicode's own line and paragraph separators, at
/// which some readers split lines, and the controls of direction, with which a line shows another text than it has
/// (Unicode Standard Annex 9, section 2). None is above U+FFFF.
pub fn is_special(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

pub(crate) fn print(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Memory takes whatever is written.
    let _always = out.write_fmt(arguments).is_ok();
}

#[inline]
pub(crate) fn integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A number, or as a JSON string what is none.
pub(crate) fn float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    } else {
        print(out, format_args!("\"{number}\""));
    }
}

pub(crate) fn flag(flag: bool, out: &mut Vec<u8>) {
    match flag {
        true => out.extend_from_slice(b"true"),
        false => out.extend_from_slice(b"false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_what_needs_no_escape_wherever_it_stands() {
        for character in char::MIN..='\u{2fff}' {
            let expected =
                !character.is_control() && character.is_ascii() && character != '"' && character != '\\';
            for before in [0, 1, 7, 8, 13] {
                for after in [0, 1, 3, 7, 8, 16] {
                    let text = format!("{}{character}{}", "~".repeat(before), " ".repeat(after));
                    assert_eq!(is_plain(&text), expected, "{text:?}");
                }
            }
        }
        assert!(is_plain(""));
    }
}
