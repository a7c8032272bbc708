//! Records the commit that is built, for `version`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../../.git/HEAD");
    println!("cargo::rerun-if-changed=../../.git/refs/heads");
    let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(_) | Err(_) => "unknown".to_owned(),
    };
    println!("cargo::rustc-env=NKUDO_COMMIT={commit}");
    let profile = std::env::var_os("PROFILE").unwrap_or_default();
    println!("cargo::rustc-env=NKUDO_PROFILE={}", profile.display());
}
