//! How much disk a sample takes, how long queries take, and how much memory that needs, on metrics of a real host.
//!
//! `density record FILE SECONDS` reads `/proc` each second and appends to a file; `density replay FILE [EVERY]` plays such
//! a file to a store in a temporary directory and tells the figures. With EVERY above one, each EVERY-th row is taken, and
//! the EVERY readings of the same time that this leaves are laid end to end, counters going on where they were: an hour
//! read each second becomes fifteen hours read each fifteen seconds.

#![expect(clippy::print_stdout, reason = "an example tells its figures")]

mod host;
mod replay;

use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["record", file, seconds] => host::record(file, seconds.parse()?).await,
        ["replay", file] => replay::run(file, 1).await,
        ["replay", file, every] => replay::run(file, every.parse()?).await,
        _ => Err("give `record FILE SECONDS`, or `replay FILE [EVERY]`".into()),
    }
}
