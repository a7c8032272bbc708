//! Instructions for each piece of work, counted by callgrind: a figure that the load of a machine does not move, so that a
//! test may hold it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::setup::{self, VALGRIND};
use crate::shell::{self, cargo, root};

/// The crates that are measured, each by its example of this name.
const CRATES: [&str; 3] = ["logging", "metrics-core", "spans"];
const EXAMPLE: &str = "instructions";
/// What was agreed, by crate and work.
const AGREED: &str = "xtask/instructions.toml";
/// Another compiler or libc may move a figure by so much: a share of it, and so many instructions.
const SHARE: f64 = 0.03;
const SLACK: f64 = 1.0;

type Counts = BTreeMap<String, BTreeMap<String, f64>>;

/// Counts, prints, and fails when something costs more than agreed. With `agree` the counts become what is agreed.
pub fn run(agree: bool) -> Result<()> {
    setup::ensure(&[VALGRIND])?;
    let found =
        CRATES.iter().map(|name| Ok(((*name).to_owned(), of_crate(name)?))).collect::<Result<Counts>>()?;
    let path = root().join(AGREED);
    if agree {
        let text = toml::to_string(&found)?;
        let head =
            "# Instructions for each piece of work; written by `cargo xtask bench instructions --agree`.\n\n";
        return std::fs::write(&path, format!("{head}{text}")).context("the agreed counts cannot be written");
    }
    let agreed: Counts = toml::from_str(&std::fs::read_to_string(&path).context("nothing is agreed yet")?)?;
    let faults = compare(&found, &agreed);
    ensure!(
        faults.is_empty(),
        "{}\nIf that is meant, run `cargo xtask bench instructions --agree`.",
        faults.join("\n")
    );
    Ok(())
}

/// Prints each count beside what was agreed; answers what is not as agreed.
fn compare(found: &Counts, agreed: &Counts) -> Vec<String> {
    let mut faults = Vec::new();
    println!("{:<40} {:>12} {:>12}", "instructions for", "found", "agreed");
    for (crate_name, works) in found {
        for (work, count) in works {
            let name = format!("{crate_name}/{work}");
            let bar = agreed.get(crate_name).and_then(|works| works.get(work));
            println!(
                "{name:<40} {count:>12.1} {:>12}",
                bar.map_or_else(|| "-".to_owned(), |bar| format!("{bar:.1}"))
            );
            match bar {
                None => faults.push(format!("{name}: {count:.1} instructions, and nothing is agreed")),
                Some(bar) if *count > bar * (1.0 + SHARE) + SLACK => {
                    faults.push(format!("{name}: {count:.1} instructions, {bar:.1} are agreed"));
                }
                Some(_) => {}
            }
        }
    }
    let gone = agreed.iter().flat_map(|(crate_name, works)| works.keys().map(move |work| (crate_name, work)));
    faults.extend(
        gone.filter(|(crate_name, work)| {
            !found.get(*crate_name).is_some_and(|works| works.contains_key(*work))
        })
        .map(|(crate_name, work)| format!("{crate_name}/{work}: agreed, and no longer measured")),
    );
    faults
}

fn of_crate(name: &str) -> Result<BTreeMap<String, f64>> {
    let package = format!("nkudo-{name}");
    shell::run(cargo().args(["build", "--quiet", "--release", "-p", &package, "--example", EXAMPLE]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("release/examples").join(EXAMPLE);
    let listed =
        Command::new(&program).output().with_context(|| format!("{} does not run", program.display()))?;
    let names = String::from_utf8(listed.stdout)?;
    names.lines().map(|work| Ok((work.to_owned(), of_work(&program, work)?))).collect()
}

/// Instructions for one piece of work: what more of it costs more, so that start and end of the program drop out.
fn of_work(program: &Path, work: &str) -> Result<f64> {
    let (few, many) = if work.starts_with("scrape") { (2_u32, 4) } else { (10_000, 30_000) };
    let more = count(program, work, many)?.saturating_sub(count(program, work, few)?);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let each = more as f64 / f64::from(many - few);
    Ok((each * 10.0).round() / 10.0)
}

fn count(program: &Path, work: &str, times: u32) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = valgrind.arg(program).arg(work).arg(times.to_string()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind failed for {work}: {said}");
    let Some((_, collected)) = said.rsplit_once("Collected : ") else {
        bail!("callgrind counted nothing: {said}")
    };
    Ok(collected.split_whitespace().next().unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(works: &[(&str, f64)]) -> Counts {
        let works = works.iter().map(|(work, count)| ((*work).to_owned(), *count)).collect();
        [("c".to_owned(), works)].into()
    }

    #[test]
    fn what_costs_more_than_agreed_is_told() {
        let agreed = counts(&[("a", 100.0), ("b", 10.0), ("gone", 1.0)]);
        let faults = compare(&counts(&[("a", 104.0), ("b", 11.4), ("new", 1.0)]), &agreed);
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].starts_with("c/b: 11.4 instructions, 10.0 are agreed"), "{faults:?}");
        assert!(faults[1].starts_with("c/new") && faults[2].starts_with("c/gone"), "{faults:?}");
        assert_eq!(
            compare(&counts(&[("a", 90.0), ("b", 11.0), ("gone", 1.0)]), &agreed),
            Vec::<String>::new()
        );
    }
}
