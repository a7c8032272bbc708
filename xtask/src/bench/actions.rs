//! What a durable action costs on this machine's disk: an executor in a program of its own, without anybody else of the agent.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::Row;
use crate::shell::cargo;

/// A line of the program that measures.
#[derive(Debug, Deserialize)]
struct Line {
    name: String,
    unit: String,
    figure: f64,
}

pub(crate) fn measure() -> Result<Vec<Row>> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "-p", "nkudo-executor", "--example", "actions"]);
    println!("measuring an executor on this disk");
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the measurement ended with {}", output.status);
    String::from_utf8(output.stdout)?.lines().map(row).collect()
}

/// There is no peer: what else keeps a journal of actions keeps another one.
fn row(line: &str) -> Result<Row> {
    let Line { name, unit, figure } =
        serde_json::from_str(line).with_context(|| format!("the measurement says {line:?}"))?;
    let unit = match unit.as_str() {
        "us" => "us",
        "ms" => "ms",
        "MiB" => "MiB",
        _ => bail!("the measurement has no unit {unit:?}"),
    };
    Ok(Row::new(&name, unit, figure, None, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_measurement_is_a_row_and_anything_else_is_refused() {
        let read = row(r#"{"name": "a durable action", "unit": "us", "figure": 1.23456}"#).unwrap();
        assert_eq!((read.name.as_str(), read.unit, read.ours), ("a durable action", "us", 1.235));
        for wrong in [r#"{"name": "a", "unit": "parsecs", "figure": 1}"#, r#"{"name": "a"}"#, "", "a: 1"] {
            assert!(row(wrong).is_err(), "{wrong}");
        }
    }
}
