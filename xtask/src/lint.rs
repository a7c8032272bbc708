//! `cargo xtask lint`: format, clippy, documentation, and the rules of the house that no tool knows.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::layers::PURE;
use crate::shell::{self, cargo, root};

/// A file of more lines has more than one subject.
const LINES_MAX: usize = 450;
/// Modules of these names hold what found no place.
const NAMES_OF_NOTHING: &[&str] = &["utils", "util", "common", "helpers", "types", "manager", "mod", "misc"];

/// Runs every check; the quickest first.
pub fn run() -> Result<()> {
    let faults = house_rules(&root())?;
    if !faults.is_empty() {
        bail!("the rules of the house are broken:\n  {}", faults.join("\n  "));
    }
    shell::run(cargo().args(["fmt", "--all", "--check"]))?;
    shell::run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--quiet", "--document-private-items"]);
    shell::run(doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
}

/// Where the rules of the house are broken, over the files that git knows.
pub fn house_rules(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]);
    let listed = git.output().context("git is needed to list the files")?;
    let files: Vec<PathBuf> = String::from_utf8_lossy(&listed.stdout).lines().map(PathBuf::from).collect();
    if files.is_empty() {
        bail!("git lists no file below {}", root.display());
    }
    let mut faults = Vec::new();
    // What a program writes follows its own rules; that it is current is a test of its own.
    let written = |file: &&PathBuf| file.file_stem().is_some_and(|stem| stem == "generated");
    for file in files.iter().filter(|file| root.join(file).exists() && !written(file)) {
        let text = std::fs::read_to_string(root.join(file))?;
        faults.extend(faults_of(file, &text).into_iter().map(|fault| format!("{}: {fault}", file.display())));
    }
    let rules = std::fs::read_to_string(root.join("clippy.toml"))?;
    for name in PURE {
        let dir = root.join("crates").join(name.trim_start_matches("nkudo-"));
        if dir.exists() {
            let config = std::fs::read_to_string(dir.join("clippy.toml")).unwrap_or_default();
            faults.extend(pure_faults(&rules, &config).into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    Ok(faults)
}

/// What a pure crate's clippy.toml lacks. It takes the place of the root's and does not add to it, so it repeats it.
pub fn pure_faults(rules: &str, config: &str) -> Vec<String> {
    let lacks = |line: &&str| !config.contains(line.trim());
    let clock = std::iter::once("std::time::Instant::now");
    rules
        .lines()
        .chain(clock)
        .filter(lacks)
        .map(|line| format!("its clippy.toml lacks `{}`", line.trim()))
        .collect()
}

/// The rules that one file breaks.
pub fn faults_of(file: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if NAMES_OF_NOTHING.contains(&name) {
        faults.push(format!("`{name}` names no subject"));
    }
    let is_test = name == "tests" || file.components().any(|part| part.as_os_str() == "tests");
    let lines = text.lines().count();
    if lines > LINES_MAX && !is_test {
        faults.push(format!("{lines} lines; more than {LINES_MAX} are more than one subject"));
    }
    if !is_test && !text.starts_with("//!") && !text.starts_with("#!") {
        faults.push("does not say at its top what it is".to_owned());
    }
    for (number, line) in text.lines().enumerate() {
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        // Put together here so that this file does not find itself.
        let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
        if marks.iter().any(|mark| comment.contains(mark)) {
            faults.push(format!("line {}: something is left to do", number + 1));
        }
        if line.trim_start().starts_with(concat!("#[al", "low(")) {
            faults.push(format!("line {}: an exception is an `expect` with its reason", number + 1));
        }
    }
    faults
}
