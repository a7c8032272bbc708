//! One kind of work, done a number of times: `instructions NAME TIMES`. What it costs in instructions is the difference
//! between two runs under callgrind, which no other load of a machine can move. Without a name it lists them.

#![expect(clippy::print_stdout, reason = "a program that is read by another")]

use std::process::ExitCode;

use nkudo_spans::{SpansOptions, spans};

/// Spans between two passes of the drain.
const PASS: u32 = 500;

type Work = fn(u32);

const ALL: [(&str, Work); 3] = [
    ("span", |times| {
        traced(times, |size| drop(tracing::info_span!("work", size, route = "/v1/agents").entered()));
    }),
    ("span_bare", |times| traced(times, |_| drop(tracing::info_span!("work")))),
    ("span_off", |times| traced(times, |size| drop(tracing::debug_span!("work", size).entered()))),
];

/// Does it so many times inside a span, and drains what it makes.
fn traced(times: u32, work: impl Fn(u32)) {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let mut drain = drain.expect("finished spans are asked for");
    tracing::subscriber::set_global_default(subscriber).expect("it is set once");
    let _parent = tracing::info_span!("parent").entered();
    for number in 0..times {
        work(number);
        if number % PASS == 0 {
            drain.pass(|_| ());
        }
    }
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
