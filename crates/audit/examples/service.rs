//! A service that keeps an audit log, and somebody who tampers with copies of it.
//!
//! Run it with `cargo run -p nkudo-audit --example service [DIR]`. The log is kept in DIR, or in a directory that is removed
//! at the end. With `--speed` before DIR and built with `--release` it tells how many entries a second are appended, with a
//! sync after so many, and how many bytes a second are verified.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use nkudo_audit::{AuditLog, Entry, Head, HostKey, Options, PublicKey, verify};
use nkudo_journal::RealDisk;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// When the first order came, in seconds since 1970. A service takes it from its clock.
const START: i64 = 1_700_000_000;

fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1).peekable();
    let measures = arguments.next_if(|argument| argument == "--speed").is_some();
    let temporary = tempfile::tempdir()?;
    let root = arguments.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let (dir, key_path) = (root.join("audit"), root.join("audit.key"));
    let key = HostKey::load_or_create(&RealDisk, &key_path)?;
    let (log, opened) = AuditLog::open(RealDisk, &dir, Options::default(), key)?;
    let mut out = io::stdout().lock();
    if let Some(cut) = &opened.cut {
        writeln!(out, "a crash had cut {} bytes of {}, now in {}", cut.bytes, cut.file, cut.kept.display())?;
    }
    // Whoever verifies needs only the public half.
    let public = PublicKey::read(&RealDisk, &key_path.with_extension("key.pub"))?;
    if measures { measure(log, &dir, &public, &mut out) } else { tamper(log, &root, &public, &mut out) }
}

fn order(number: u64) -> Entry<'static> {
    let at = Timestamp::from_second(START + number.cast_signed()).unwrap_or(Timestamp::MAX);
    let outcome = if number % 7 == 3 { "refused" } else { "succeeded" };
    Entry::new(at, "orders", "order.cancel", "alice", outcome)
        .field("order", number)
        .field("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")
        .field("reason", "the customer changed their mind")
}

fn tamper(
    mut log: AuditLog<RealDisk>,
    root: &Path,
    public: &PublicKey,
    out: &mut dyn io::Write,
) -> Outcome<()> {
    for number in 1..=20 {
        log.append(&order(number))?;
    }
    let head = log.sync()?;
    drop(log);
    tell(out, "as it was written", &root.join("audit"), public, Some(head))?;

    let copy = tempfile::tempdir_in(root)?;
    let name = "00000000000000000001.jsonl";
    let lines = fs::read_to_string(root.join("audit").join(name))?;
    let mut check = |what: &str, tampered: String, head: Option<Head>| -> Outcome<()> {
        fs::write(copy.path().join(name), tampered)?;
        tell(out, what, copy.path(), public, head)
    };
    check("with another actor", lines.replacen("alice", "mallory", 1), None)?;
    let without = |skipped: usize| -> String {
        let kept = lines.split_inclusive('\n').enumerate().filter(|(index, _)| *index != skipped);
        kept.map(|(_, line)| line).collect()
    };
    check("without its fifth line", without(4), None)?;
    let last = lines.lines().count() - 1;
    check("without its last line, verified alone", without(last), None)?;
    check("without its last line, verified with the head that was kept", without(last), Some(head))?;
    check("as after a crash", lines.split_at(lines.len() - 100).0.to_owned(), None)
}

fn tell(
    out: &mut dyn io::Write,
    what: &str,
    dir: &Path,
    public: &PublicKey,
    head: Option<Head>,
) -> Outcome<()> {
    let report = verify(&RealDisk, dir, public, head)?;
    writeln!(out, "the log {what}: {} lines, {} checkpoints", report.lines, report.checkpoints)?;
    writeln!(out, "  {} lines after the last checkpoint; head {}", report.unsigned, report.head)?;
    if let Some(cut) = &report.cut {
        writeln!(out, "  {cut}")?;
    }
    for finding in &report.findings {
        writeln!(out, "  {finding}")?;
    }
    let verdict = if report.is_untampered() { "nothing wrong was found" } else { "it was tampered with" };
    writeln!(out, "  {verdict}")?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(
    mut log: AuditLog<RealDisk>,
    dir: &Path,
    public: &PublicKey,
    out: &mut dyn io::Write,
) -> Outcome<()> {
    for (entries, entries_per_sync) in [(2_000, 1), (20_000, 100), (200_000, 10_000)] {
        let began = Instant::now();
        for number in 1..=entries {
            log.append(&order(number))?;
            if number % entries_per_sync == 0 {
                log.sync()?;
            }
        }
        let rate = entries as f64 / began.elapsed().as_secs_f64();
        writeln!(out, "{rate:.0} entries/s appended, a sync after {entries_per_sync}")?;
    }
    let head = log.sync()?;
    drop(log);
    let began = Instant::now();
    let report = verify(&RealDisk, dir, public, Some(head))?;
    let seconds = began.elapsed().as_secs_f64();
    let (lines, megabytes) = (report.lines as f64, report.bytes as f64 / 1e6);
    writeln!(out, "{:.0} MB/s verified, {:.0} lines/s", megabytes / seconds, lines / seconds)?;
    writeln!(out, "{lines} lines, {megabytes:.1} MB, findings: {}", report.findings.len())?;
    Ok(())
}
