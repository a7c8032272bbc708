//! Answers on standard output: JSON for scripts, aligned text for people; and what is said beside them on standard error.

use comfy_table::{ContentArrangement, Table, presets};
pub use nkudo_traces::escaped;
use serde::Serialize;

use crate::failure::Failure;

/// Prints one JSON document.
pub fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    as_it_is(&text)
}

/// Prints one JSON document in one line.
pub fn json_line<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(Failure::failed)?;
    as_it_is(&text)
}

/// Prints a line, or several. What would command a terminal in it is escaped; see [`shown`].
pub fn line(text: &str) -> Result<(), Failure> {
    as_it_is(&shown(text))
}

/// Prints what is made for a program, or for a terminal with its colours. A reader that has gone away ends the command
/// without a complaint.
pub fn as_it_is(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::NotFine),
        other => other.map_err(Failure::failed),
    }
}

/// Says something beside the answer, on standard error. Whoever does not read it misses it.
pub fn note(text: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stderr().lock(), "{}", shown(text)));
}

/// A text of several lines with whatever else would move a cursor, turn the direction of a text or not be seen escaped:
/// names and errors in it are anybody's. In a text that is one line, as a cell, line feeds are escaped too:
/// [`escaped`].
pub fn shown(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// Prints rows under their headings. Each stays in its line, whatever is in its cells.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
    as_it_is(&aligned(headings, rows))
}

fn aligned(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| escaped(cell)).collect::<Vec<_>>()));
    table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = count as f64;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A value, or a dash where there is none.
pub fn or_dash(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_anybodys_commands_a_terminal() {
        let check = |text: &str, escaped: &str| {
            let cells = vec!["e".to_owned(), text.to_owned()];
            assert_eq!(aligned(&["a", "b"], [cells]).split_once('\n').unwrap().1, format!("e  {escaped}"));
            assert_eq!(shown(&format!("{text}\n{text}")).replace("\\n", "\n"), {
                let lines = escaped.replace("\\n", "\n");
                format!("{lines}\n{lines}")
            });
        };
        check("no kernel: /boot/é 漢", "no kernel: /boot/é 漢");
        check("\x1b[2J\x1b]0;root\x07", "\\u{1b}[2J\\u{1b}]0;root\\u{7}");
        check("\u{9b}31m\u{9d}x\u{9c}", "\\u{9b}31m\\u{9d}x\\u{9c}");
        check("a\r\nsuccess\0\t\x7f", "a\\r\\nsuccess\\u{0}\\t\\u{7f}");
        check("\u{202a}a\u{202e}b\u{2066}c\u{2069}", "\\u{202a}a\\u{202e}b\\u{2066}c\\u{2069}");
    }

    #[test]
    fn bytes_are_told_in_the_largest_unit_that_they_fill() {
        let check = |count, text| assert_eq!(bytes(count), text);
        check(0, "0 B");
        check(1_023, "1023 B");
        check(1_024, "1.0 KiB");
        check(64 << 20, "64.0 MiB");
        check(3 << 39, "1.5 TiB");
        check(u64::MAX, "16777216.0 TiB");
    }
}
