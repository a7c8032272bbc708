//! The rules of the house, and what is generated.

use std::path::Path;

use xtask::codegen::stale;
use xtask::lint::{faults_of, house_rules, pure_faults};
use xtask::shell::root;

#[test]
fn the_house_keeps_its_rules() {
    assert_eq!(house_rules(&root()).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_generated_is_current() {
    assert_eq!(stale().unwrap(), Vec::<std::path::PathBuf>::new(), "run `cargo xtask codegen`");
}

#[test]
fn breaches_of_the_rules_are_found() {
    let check = |file: &str, text: &str, part: &str| {
        let faults = faults_of(Path::new(file), text);
        assert!(faults.iter().any(|fault| fault.contains(part)), "{file}: {faults:?} lacks {part}");
    };
    check("crates/x/src/utils.rs", "//! X.\n", "names no subject");
    check("crates/x/src/x.rs", "fn x() {}\n", "what it is");
    check("crates/x/src/x.rs", &format!("//! X.\n{}", "\n".repeat(500)), "more than one subject");
    check("crates/x/src/x.rs", concat!("//! X.\n// TO", "DO later\n"), "line 2: something is left to do");
    check("crates/x/src/x.rs", concat!("//! X.\n#[al", "low(dead_code)]\n"), "an `expect` with its reason");
    assert_eq!(faults_of(Path::new("crates/x/src/x.rs"), "//! X.\n"), Vec::<String>::new());
}

#[test]
fn a_pure_crate_repeats_the_rules_and_bans_the_clock() {
    let check =
        |config: &str, faults: &[&str]| assert_eq!(pure_faults("a = 1\n", config), faults, "{config}");
    check("a = 1\nstd::time::Instant::now", &[]);
    check("std::time::Instant::now", &["its clippy.toml lacks `a = 1`"]);
    check("", &["its clippy.toml lacks `a = 1`", "its clippy.toml lacks `std::time::Instant::now`"]);
}
