//! Texts as bounded JSON strings: nothing in them ends the line or commands a terminal.

use std::io::Write as _;

/// The longest mark at the end of a text that was cut.
const MARK_MAX_BYTES: usize = 48;

/// Appends a JSON string with at most `cap_bytes` between its quotes, or only a mark when there is no room for more. Tells
/// whether it was cut.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str, cap_bytes: usize) -> bool {
    out.push(b'"');
    let is_cut = push_capped(out, text, cap_bytes);
    out.push(b'"');
    is_cut
}

fn push_capped(out: &mut Vec<u8>, text: &str, cap_bytes: usize) -> bool {
    if text.len() <= cap_bytes && text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        return false;
    }
    let start = out.len();
    let room_bytes = cap_bytes.saturating_sub(MARK_MAX_BYTES);
    let mut cut_at = start;
    for c in text.chars() {
        if out.len() - start <= room_bytes {
            cut_at = out.len();
        }
        push_char(out, c);
        if out.len() - start > cap_bytes {
            out.truncate(cut_at);
            print(out, format_args!("… [cut from {} bytes]", text.len()));
            return true;
        }
    }
    false
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn push_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // The control characters of ASCII and Latin-1, which terminals obey, and Unicode's own line and paragraph
        // separators, at which some readers split lines. None is above U+FFFF.
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
            print(out, format_args!("\\u{:04x}", u32::from(c)));
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

pub(crate) fn print(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("memory takes whatever is written");
}
