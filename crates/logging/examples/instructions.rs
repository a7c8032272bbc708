//! One kind of work, done a number of times: `instructions NAME TIMES`. What it costs in instructions is the difference
//! between two runs under callgrind, which no other load of a machine can move. Without a name it lists them.

#![expect(clippy::print_stdout, reason = "a program that is read by another")]

use std::io;
use std::process::ExitCode;

use nkudo_logging::{LogConfig, LogFormat, Output, subscriber};

type Work = fn(u32);

const ALL: [(&str, Work); 4] = [
    ("line", |times| {
        logged(times, |size| tracing::info!(size, route = "/v1/agents", ok = true, "request done"));
    }),
    ("line_in_span", |times| {
        logged(times, |size| {
            // The span is entered once and lies around all lines.
            thread_local!(static SPAN: tracing::span::EnteredSpan = tracing::info_span!("request", id = 7).entered());
            SPAN.with(|_| tracing::info!(size, route = "/v1/agents", ok = true, "request done"));
        });
    }),
    ("line_gathered", |times| {
        logged(times, |size| tracing::info!(size, component = "door", ok = true, "request done"));
    }),
    ("line_off", |times| logged(times, |size| tracing::debug!(size, "not logged"))),
];

/// Takes lines and lets them go.
struct Away;

impl Output for Away {
    fn write_lines(&self, _lines: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

fn logged(times: u32, work: impl Fn(u32)) {
    let config = LogConfig { format: LogFormat::Json, ..LogConfig::default() };
    tracing::subscriber::set_global_default(subscriber(&config, Away).0).expect("it is set once");
    (0..times).for_each(work);
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(times)) = (arguments.next(), arguments.next()) else {
        ALL.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let work = ALL.iter().find(|(known, _)| *known == name);
    let (Some((_, work)), Ok(times)) = (work, times.parse()) else { return ExitCode::FAILURE };
    work(times);
    ExitCode::SUCCESS
}
