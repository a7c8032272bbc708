//! `cargo xtask test --coverage`: which lines of the libraries the tests run, by crate, and that none of the crates that the rest
//! rests on falls below its floor.
//!
//! Files of tests do not count, and neither does what is generated. Tests that stand in the file of what they test do count as
//! lines of it, and they are all run: LLVM tells lines apart by file only.
//!
//! The compiler's own instrumentation, and LLVM's tools of the same toolchain to read it: one component of rustup is all that
//! is installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::{cargo, root, run};
use crate::test::has_nextest;

/// Lines that have to be covered, in per cent: these decide what happens to a VM and keep what was promised.
const FLOORS: &[(&str, f64)] = &[("executor", 95.0), ("fleet", 95.0), ("journal", 95.0), ("tracker", 95.0)];
/// Written by a program.
const GENERATED: &[&str] = &["crates/rpc/src/generated.rs"];

/// Lines of a crate, and those that some test has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lines {
    pub all: u64,
    pub covered: u64,
}

impl Lines {
    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.covered += other.covered;
    }

    /// All of no lines are covered.
    fn percent(self) -> f64 {
        let of = |lines: u64| u32::try_from(lines).map_or(f64::from(u32::MAX), f64::from);
        if self.all == 0 { 100.0 } else { 100.0 * of(self.covered) / of(self.all) }
    }
}

/// Runs the tests of these packages, or of the whole workspace when none is named, and prints what they cover.
pub fn measure(packages: &[String]) -> Result<()> {
    let tools = Tools::ready()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let dir = root().join(target).join("coverage");
    let profiles = dir.join("profiles");
    match std::fs::remove_dir_all(&profiles) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => std::fs::create_dir_all(&profiles)?,
    }
    let instrumented = Instrumented { dir: &dir, profiles: &profiles, packages };
    let programs = instrumented.programs()?;
    let tested = run(&mut instrumented.tests(has_nextest()));
    let found = tools.read(&profiles, &programs)?;
    let named = |name: &str| {
        packages.is_empty() || packages.iter().any(|package| package == &format!("nkudo-{name}"))
    };
    let mut crates = by_crate(&found)?;
    // What others use of a crate says little about its own tests.
    crates.retain(|name, _| named(name));
    print(&crates);
    tested?;
    let low: Vec<String> = below(&crates, FLOORS.iter().copied().filter(|(name, _)| named(name)));
    if low.is_empty() { Ok(()) } else { bail!("{}", low.join("; ")) }
}

/// Builds and runs that count what is run.
struct Instrumented<'a> {
    dir: &'a Path,
    profiles: &'a Path,
    packages: &'a [String],
}

impl Instrumented<'_> {
    fn what(&self) -> Vec<&str> {
        if self.packages.is_empty() {
            return vec!["--workspace"];
        }
        self.packages.iter().flat_map(|package| ["-p", package]).collect()
    }

    /// Also programs that tests build and start are instrumented. A few files of counts are shared by all processes of a program.
    fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = cargo();
        cargo.arg(subcommand);
        cargo.env("RUSTFLAGS", "-C instrument-coverage").env("CARGO_TARGET_DIR", self.dir);
        cargo.env("LLVM_PROFILE_FILE", self.profiles.join("%4m.profraw"));
        cargo
    }

    /// Runs the tests, also where their usual runner is not installed.
    fn tests(&self, with_nextest: bool) -> Command {
        let mut tests = self.cargo(if with_nextest { "nextest" } else { "test" });
        let args: &[&str] = if with_nextest { &["run"] } else { &["--lib", "--bins", "--tests"] };
        tests.args(args).arg("--no-fail-fast").args(self.what());
        tests
    }

    /// Every test and program.
    fn programs(&self) -> Result<Vec<PathBuf>> {
        let mut build = self.cargo("test");
        build.args(["--no-run", "--tests", "--lib", "--bins", "--message-format", "json"]).args(self.what());
        println!("building the tests with counters below {}", self.dir.display());
        let output = build.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("the tests do not build with counters");
        }
        let text = String::from_utf8(output.stdout)?;
        let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect())
    }
}

/// LLVM's tools that belong to the compiler.
#[derive(Debug)]
struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// Installs them when they are missing, and says so first.
    fn ready() -> Result<Self> {
        let rustc = |arg: &[&str]| -> Result<String> {
            let output = Command::new("rustc").current_dir(root()).args(arg).output()?;
            Ok(String::from_utf8(output.stdout)?)
        };
        let version = rustc(&["-vV"])?;
        let host =
            version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
        let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
        let tools = Self { bin: sysroot.join("lib/rustlib").join(host).join("bin") };
        if !tools.are_here() {
            println!("rustup's component llvm-tools is missing; installing it");
            let mut rustup = Command::new("rustup");
            run(rustup.current_dir(root()).args(["component", "add", "llvm-tools"]))?;
        }
        if tools.are_here() { Ok(tools) } else { bail!("llvm-tools are not in {}", tools.bin.display()) }
    }

    fn are_here(&self) -> bool {
        ["llvm-profdata", "llvm-cov"].iter().all(|tool| self.bin.join(tool).is_file())
    }

    /// The counts of all programs, as LLVM exports them.
    fn read(&self, profiles: &Path, programs: &[PathBuf]) -> Result<Value> {
        let merged = profiles.join("merged.profdata");
        // A process that was killed while it wrote leaves half a file.
        let mut merge = Command::new(self.bin.join("llvm-profdata"));
        merge.args(["merge", "-sparse", "-failure-mode=all", "-o"]).arg(&merged);
        for entry in std::fs::read_dir(profiles)?.flatten() {
            merge.arg(entry.path());
        }
        let merged_well = merge.stderr(Stdio::null()).status()?;
        if !merged_well.success() {
            bail!("no counts could be read in {}", profiles.display());
        }
        let mut export = Command::new(self.bin.join("llvm-cov"));
        export.args(["export", "--summary-only", "--instr-profile"]).arg(&merged);
        for program in programs {
            export.arg("--object").arg(program);
        }
        let output = export.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("llvm-cov cannot read {}", merged.display());
        }
        serde_json::from_slice(&output.stdout).context("llvm-cov exports JSON")
    }
}

/// The lines of each crate below `crates/`. Files of tests, and what is generated, are no lines of it.
pub fn by_crate(exported: &Value) -> Result<BTreeMap<String, Lines>> {
    let files = exported["data"][0]["files"].as_array().context("llvm-cov lists files")?;
    let mut crates: BTreeMap<String, Lines> = BTreeMap::new();
    for file in files {
        let path = Path::new(file["filename"].as_str().unwrap_or_default());
        let Ok(path) = path.strip_prefix(root()) else { continue };
        let words: Vec<&str> = path.iter().filter_map(|word| word.to_str()).collect();
        let ["crates", name, "src", .., last] = words.as_slice() else { continue };
        if *last == "tests.rs" || GENERATED.iter().any(|generated| path == Path::new(generated)) {
            continue;
        }
        let count = |what: &str| file["summary"]["lines"][what].as_u64().unwrap_or(0);
        let lines = Lines { all: count("count"), covered: count("covered") };
        crates.entry((*name).to_owned()).or_default().add(lines);
    }
    Ok(crates)
}

/// A sentence for each crate that is below its floor.
pub fn below(
    crates: &BTreeMap<String, Lines>,
    floors: impl IntoIterator<Item = (&'static str, f64)>,
) -> Vec<String> {
    let sentence = |(name, floor): (&str, f64)| {
        let percent = crates.get(name).map(|lines| lines.percent());
        match percent {
            None => Some(format!("{name} has no lines that were counted")),
            Some(percent) if percent < floor => {
                Some(format!("{name} has {percent:.1} % of its lines covered, and its floor is {floor} %"))
            }
            Some(_) => None,
        }
    };
    floors.into_iter().filter_map(sentence).collect()
}

fn print(crates: &BTreeMap<String, Lines>) {
    println!("| crate | lines | covered | % | floor |\n|---|---|---|---|---|");
    let mut all = Lines::default();
    for (name, lines) in crates {
        all.add(*lines);
        let floor = FLOORS.iter().find(|(of, _)| of == name).map(|(_, floor)| floor.to_string());
        let floor = floor.unwrap_or_default();
        println!("| {name} | {} | {} | {:.1} | {floor} |", lines.all, lines.covered, lines.percent());
    }
    println!("| all | {} | {} | {:.1} | |", all.all, all.covered, all.percent());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(path: &str, count: u64, covered: u64) -> Value {
        json!({"filename": root().join(path), "summary": {"lines": {"count": count, "covered": covered}}})
    }

    #[test]
    fn lines_are_counted_by_crate_without_tests_and_what_is_generated() {
        let exported = json!({"data": [{"files": [
            file("crates/a/src/lib.rs", 10, 9),
            file("crates/a/src/deep/er.rs", 10, 10),
            file("crates/a/src/deep/tests.rs", 10, 0),
            file("crates/a/tests/it/main.rs", 10, 0),
            file("crates/rpc/src/generated.rs", 10, 0),
            file("bins/a/src/main.rs", 10, 0),
            json!({"filename": "/elsewhere/crates/a/src/lib.rs", "summary": {"lines": {"count": 1, "covered": 0}}}),
        ]}]});
        let expected = BTreeMap::from([("a".to_owned(), Lines { all: 20, covered: 19 })]);
        assert_eq!(by_crate(&exported).unwrap(), expected);
        assert!(by_crate(&json!({})).is_err());
    }

    #[test]
    fn the_tests_are_run_with_counters_whichever_runner_is_there() {
        let (dir, profiles) = (Path::new("/c"), Path::new("/c/profiles"));
        let instrumented = Instrumented { dir, profiles, packages: &["nkudo-a".to_owned()] };
        let check = |with_nextest: bool, expected: &str| {
            let tests = instrumented.tests(with_nextest);
            let args: Vec<&str> = tests.get_args().filter_map(|arg| arg.to_str()).collect();
            assert_eq!(args.join(" "), expected);
            assert!(tests.get_envs().any(|(name, _)| name == "LLVM_PROFILE_FILE"), "{tests:?}");
        };
        check(true, "nextest run --no-fail-fast -p nkudo-a");
        check(false, "test --lib --bins --tests --no-fail-fast -p nkudo-a");
    }

    #[test]
    fn a_crate_below_its_floor_is_named() {
        let crates = BTreeMap::from([("a".to_owned(), Lines { all: 20, covered: 19 })]);
        assert_eq!(below(&crates, [("a", 95.0)]), [""; 0]);
        let low = below(&crates, [("a", 95.5), ("b", 1.0)]);
        assert_eq!(
            low,
            [
                "a has 95.0 % of its lines covered, and its floor is 95.5 %",
                "b has no lines that were counted"
            ]
        );
    }
}
