//! The audit log of a program on this host: its newest lines, and whether anybody changed it. Both read its files, with
//! the program running or not.

use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use nkudo_api::time::{moment, no_moment};
use nkudo_api::view::List;
use nkudo_audit::{
    AuditError, Expected, Finding, Head, PublicKey, Record, Report, newest_first, verify as verify_log,
};
use nkudo_host::clock;
use nkudo_journal::RealDisk;
use nkudo_scribe::Place;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{Output, print};

/// How often a log is read again of which files were pruned meanwhile.
const READ_AGAIN_MAX: usize = 3;

/// Which lines, or whether they are as they were written.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditFlags {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    /// Not before this time (RFC 3339), or so long ago: 90s, 30m, 6h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Most to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Lines before this one: the next_cursor of the page before
    #[arg(long, value_name = "SEQ")]
    cursor: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Find lines that were changed, removed, moved, inserted or cut
    #[command(
        after_help = "Exit code 1 when something was found. The log's own files do not tell when its end was cut, or \
        when it was put back to an older copy of itself: a head that was kept elsewhere does, such as audit_head of the \
        agent at its control plane."
    )]
    Verify {
        /// A line that was seen before, SEQ:HASH: the log has to have it
        #[arg(long, value_name = "HEAD")]
        head: Option<String>,
    },
}

/// `audit`, of the log of this place.
///
/// # Errors
/// When a flag is none, the log cannot be read, or something was found in it.
pub fn audit(place: &Place, flags: AuditFlags, output: Output) -> Result<(), Failure> {
    match flags.command {
        Some(AuditCommand::Verify { head }) => verify(place, head.as_deref(), output),
        None => list(place, &flags, output),
    }
}

fn list(place: &Place, flags: &AuditFlags, output: Output) -> Result<(), Failure> {
    let since_ms = match &flags.since {
        None => i64::MIN,
        Some(text) => moment(text, clock::wall_ms())
            .ok_or_else(|| Failure::Refused(format!("--since: {}", no_moment(text))))?,
    };
    is_there(place)?;
    let limit = usize::try_from(flags.limit).unwrap_or(usize::MAX);
    let (mut items, mut next_cursor) = (Vec::new(), None);
    let read = newest_first(&RealDisk, &place.log, |record| {
        if flags.cursor.is_some_and(|before| record.seq >= before) {
            return ControlFlow::Continue(());
        }
        // Times may go back where the clock was set; the line before may be younger again.
        if record.timestamp.as_millisecond() < since_ms {
            return ControlFlow::Continue(());
        }
        if items.len() == limit {
            next_cursor = items.last().map(|last: &Record| last.seq.to_string());
            return ControlFlow::Break(());
        }
        items.push(record);
        ControlFlow::Continue(())
    });
    read.map_err(Failure::failed)?;
    match output {
        Output::Json => print::json(&List { items, next_cursor }),
        Output::Text if items.is_empty() => print::line("no line of the audit log is asked for"),
        Output::Text => {
            let rows = items.iter().map(|record| {
                let fields = record.fields.iter().map(|(name, value)| format!("{name}={}", shown(value)));
                vec![
                    record.timestamp.to_string(),
                    record.operation.clone(),
                    record.outcome.clone(),
                    record.actor.clone(),
                    fields.collect::<Vec<_>>().join(" "),
                ]
            });
            print::table(&["at", "operation", "outcome", "actor", "fields"], rows)
        }
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A mistyped directory would else be a log without a line.
fn is_there(place: &Place) -> Result<(), Failure> {
    if place.log.is_dir() {
        return Ok(());
    }
    let dir = place.log.display();
    let sentence = if place.public_key().exists() {
        format!(
            "the audit log {dir} is gone, and its key is there: somebody removed it; restore it from a backup"
        )
    } else {
        format!("there is no audit log {dir}: nothing was written here yet, or the directory is another")
    };
    Err(Failure::Failed(sentence))
}

fn verify(place: &Place, head: Option<&str>, output: Output) -> Result<(), Failure> {
    let head: Option<Head> =
        head.map(str::parse).transpose().map_err(|error| Failure::Refused(format!("--head: {error}")))?;
    is_there(place)?;
    let key = PublicKey::read(&RealDisk, &place.public_key()).map_err(Failure::failed)?;
    let report = read_whole(place, &key, head).map_err(Failure::failed)?;
    match output {
        Output::Json => print::json(&as_json(&report))?,
        Output::Text => sentences(&report).iter().try_for_each(|sentence| print::line(sentence))?,
    }
    if is_whole(&report) { Ok(()) } else { Err(Failure::NotFine) }
}

/// What is said of a log without a line, whose files alone look like one that was just begun.
const NO_LINE: &str = "It has no line, and its key is there: its files are gone, or its program was ended at its first start \
    before it had written any; restore them from a backup.";

/// Whether the log has all that was written to it, as far as it can tell. Its key is made at the first start, right before
/// the first line.
fn is_whole(report: &Report) -> bool {
    report.is_untampered() && report.lines > 0
}

/// A file that its writer prunes meanwhile is no finding.
fn read_whole(place: &Place, key: &PublicKey, head: Option<Head>) -> Result<Report, AuditError> {
    let mut read = verify_log(&RealDisk, &place.log, key, head);
    for _ in 1..READ_AGAIN_MAX {
        match read {
            Err(error) if error.is_not_found() => read = verify_log(&RealDisk, &place.log, key, head),
            other => return other,
        }
    }
    read
}

fn sentences(report: &Report) -> Vec<String> {
    let lines = report.lines;
    let range = match (report.first_at, report.last_at) {
        (Some(first), Some(last)) => format!(" from {first:.3} to {last:.3}"),
        _ => String::new(),
    };
    let verdict = match (is_whole(report), report.is_untampered()) {
        (true, _) => "is whole",
        (false, true) => "is not whole",
        (false, false) => "was tampered with",
    };
    let head = if lines > 0 { format!("; its head is {}", report.head) } else { String::new() };
    let mut all = vec![format!("The audit log {verdict}: {lines} lines{range}{head}.")];
    all.extend((report.lines == 0).then(|| NO_LINE.to_owned()));
    all.extend(report.findings.iter().map(ToString::to_string));
    if report.findings_left_out > 0 {
        all.push(format!("{} more findings are not shown.", report.findings_left_out));
    }
    if let Some(cut) = &report.cut {
        all.push(format!("{cut}."));
    }
    match report.expected {
        Expected::Met => all.push("It has the head that was given.".to_owned()),
        Expected::Pruned => {
            all.push(
                "The line of the head that was given was pruned, so nothing can be said of it.".to_owned(),
            );
        }
        Expected::NotGiven if report.unsigned > 0 && report.is_untampered() => {
            let unsigned = match report.unsigned {
                1 => "The last line is".to_owned(),
                many => format!("The last {many} lines are"),
            };
            all.push(format!(
                "{unsigned} not signed yet, and without --head nobody can tell whether its end was cut."
            ));
        }
        Expected::NotGiven | Expected::Failed => {}
    }
    all
}

fn as_json(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        let Finding { file, line, seq, fault } = finding;
        json!({"file": file, "line": line, "seq": seq, "fault": fault.to_string()})
    };
    let expected = match report.expected {
        Expected::NotGiven => "not_given",
        Expected::Met => "met",
        Expected::Pruned => "pruned",
        Expected::Failed => "failed",
    };
    let no_line = json!({"file": null, "line": 0, "seq": null, "fault": NO_LINE});
    let no_line = (report.lines == 0).then_some(no_line);
    json!({
        "ok": is_whole(report),
        "files": report.files, "lines": report.lines, "bytes": report.bytes, "checkpoints": report.checkpoints,
        "first_seq": report.first_seq,
        "from": report.first_at.map(|at| format!("{at:.3}")), "to": report.last_at.map(|at| format!("{at:.3}")),
        "head": report.head.to_string(), "signed_head": report.signed.map(|head| head.to_string()),
        "unsigned": report.unsigned, "expected": expected,
        "cut_line": report.cut.as_ref().map(|cut| json!({"file": cut.file, "line": cut.line, "bytes": cut.bytes})),
        "findings": no_line.into_iter().chain(report.findings.iter().map(finding)).collect::<Vec<_>>(),
        "findings_left_out": report.findings_left_out,
    })
}
