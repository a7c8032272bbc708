//! Answers on standard output: JSON for scripts, aligned text for people; and what is said beside them on standard error.
//!
//! Much of it was written by others, as by a host that is not to be trusted: no control character of theirs gets to the
//! terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use nkudo_logging::is_special;
pub use nkudo_traces::escaped;
use serde::Serialize;

use crate::failure::Failure;

/// Prints one JSON document.
pub fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    line(&text)
}

/// Prints one JSON document in one line.
pub fn json_line<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(Failure::failed)?;
    line(&text)
}

/// Prints a line, or several, [without commands](inert) to the terminal. A reader that has gone away ends the command
/// without a complaint.
pub fn line(text: &str) -> Result<(), Failure> {
    painted(&inert(text))
}

/// Prints as [`line()`] does, with the commands to the terminal that are in it: whoever paints escapes what is not his.
pub fn painted(text: &str) -> Result<(), Failure> {
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
    drop(writeln!(std::io::stderr().lock(), "{}", inert(text)));
}

/// A text that commands no terminal: what the lines of a log escape, but for line feeds and tabs, is escaped as JSON reads
/// it, so that a document stays what it is. A carriage return, which may also stand between the values of JSON, becomes a
/// space.
pub fn inert(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| is_special(c) && c != '\n' && c != '\t';
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut inert = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\r' => inert.push(' '),
            c if is_odd(c) => {
                write!(inert, "\\u{:04x}", u32::from(c)).expect("a String takes whatever is written");
            }
            c => inert.push(c),
        }
    }
    Cow::Owned(inert)
}

/// Prints rows under their headings. Each stays in its line, whatever is in its cells.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
    painted(&aligned(headings, rows))
}

fn aligned(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| escaped(cell)).collect::<Vec<_>>()));
    table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Prints what the command of an action wrote, each line behind the name of its stream; nothing where the result is not of
/// a command.
pub fn output_of_command(result: Option<&serde_json::Value>) -> Result<(), Failure> {
    let Some(result) = result else { return Ok(()) };
    for stream in ["stdout", "stderr"] {
        for text in result[stream].as_str().unwrap_or_default().lines() {
            line(&format!("  {stream}: {}", text.trim_end_matches('\r')))?;
        }
    }
    if result["truncated"] == true { line("  (more was written than is kept)") } else { Ok(()) }
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
    fn control_characters_are_escaped_and_json_stays_what_it_is() {
        let check = |text, expected| assert_eq!(inert(text), expected);
        check("plain ü\n\tand more", "plain ü\n\tand more");
        check("\u{1b}[2J\u{9b}m\u{7f}\u{0}\u{7}", "\\u001b[2J\\u009bm\\u007f\\u0000\\u0007");
        check("left \u{202e}right\u{2066}", "left \\u202eright\\u2066");
        check("\u{61c}a\u{200f}b\u{2028}", "\\u061ca\\u200fb\\u2028");
        check("over\rwritten\r\n", "over written \n");
        let value = serde_json::json!({"name": "\u{9b}2J\u{7f}\u{85}", "list": ["\u{1b}", 1]});
        let text = value.to_string().replace(',', ",\r\n");
        assert!(text.contains('\u{9b}'), "JSON leaves it as it is");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&inert(&text)).unwrap(), value);
    }

    #[test]
    fn a_cell_of_a_table_shows_nothing_that_a_line_would_not() {
        for c in (char::MIN..=char::MAX).filter(|c| is_special(*c)) {
            assert!(escaped(&c.to_string()).is_ascii(), "{}", c.escape_unicode());
        }
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
