//! Names and durations that fit in a column, whatever they are.

use std::iter;

use unicode_width::UnicodeWidthChar as _;

/// Stands for what was cut off.
const CUT: char = '…';
/// Characters may take no column of their own, such as accents, but not any number of them.
const CHARS_PER_COLUMN_MAX: usize = 4;

/// The columns that a name takes, at most `most`.
pub(super) fn columns(name: &str, most: usize) -> usize {
    let mut sum = 0;
    for (at, c) in name.chars().flat_map(shown).enumerate() {
        sum += width(c);
        if sum >= most || at >= most * CHARS_PER_COLUMN_MAX {
            return most;
        }
    }
    sum
}

/// A name in exactly so many columns: cut off, or filled with blanks.
pub(super) fn fitted(name: &str, room: usize) -> String {
    let is_whole = columns(name, room + 1) <= room;
    let (mut out, mut used) = (String::new(), 0);
    for (at, c) in name.chars().flat_map(shown).enumerate() {
        let is_over = used + width(c) + width(CUT) > room || at >= room * CHARS_PER_COLUMN_MAX;
        if is_over && !is_whole {
            out.extend((room > 0).then_some(CUT));
            used += room.min(width(CUT));
            break;
        }
        out.push(c);
        used += width(c);
    }
    out.extend(iter::repeat_n(' ', room.saturating_sub(used)));
    out
}

fn width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// A character, or its escape when it would move the cursor, change the direction of what follows or not be seen.
fn shown(c: char) -> impl Iterator<Item = char> {
    let is_hidden = c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        );
    let (escaped, itself) = if is_hidden { (Some(c.escape_default()), None) } else { (None, Some(c)) };
    escaped.into_iter().flatten().chain(itself)
}

/// A text of anybody's in one line of a terminal: what would move the cursor, change the direction of what follows or not
/// be seen is escaped.
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(shown).collect()
}

/// A duration in at most eight columns; what is less than the last digit is cut off.
pub fn short_duration(ns: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", ns / unit, ns % unit / (unit / 10));
    let seconds = ns / 1_000_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => tenths(1_000) + " \u{b5}s",
        1_000_000..1_000_000_000 => tenths(1_000_000) + " ms",
        _ if minutes == 0 => format!("{seconds}.{:02} s", ns % 1_000_000_000 / 10_000_000),
        _ if hours == 0 => format!("{minutes}m {:02}s", seconds % 60),
        _ if days == 0 => format!("{hours}h {:02}m", minutes % 60),
        _ if days < 1_000 => format!("{days}d {:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fill_their_column() {
        for (name, columns, shown) in [
            ("abc", 5, "abc  "),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("", 2, "  "),
            ("abc", 0, ""),
            ("漢字", 4, "漢字"),
            ("漢字", 3, "漢…"),
            ("漢字", 2, "… "),
            ("e\u{301}e\u{301}", 2, "e\u{301}e\u{301}"),
            ("a\nb\x1b[31m", 20, "a\\nb\\u{1b}[31m      "),
            ("\u{202e}evil", 20, "\\u{202e}evil        "),
            ("a\u{200d}b", 4, "a\\u…"),
        ] {
            assert_eq!(fitted(name, columns), shown, "{name:?} in {columns}");
        }
        let accents = format!("a{}", "\u{301}".repeat(1_000));
        assert!(fitted(&accents, 10).chars().count() < 60);
    }

    #[test]
    fn durations_take_at_most_eight_columns() {
        for (ns, shown) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_050, "1.0 \u{b5}s"),
            (999_999, "999.9 \u{b5}s"),
            (12_340_000, "12.3 ms"),
            (999_999_999, "999.9 ms"),
            (1_239_000_000, "1.23 s"),
            (59_999_999_999, "59.99 s"),
            (123_000_000_000, "2m 03s"),
            (3_725_000_000_000, "1h 02m"),
            (90_000_000_000_000, "1d 01h"),
            (u64::MAX, "213503d"),
        ] {
            let text = short_duration(ns);
            assert_eq!(text, shown);
            assert!(text.chars().count() <= 8);
        }
    }
}
