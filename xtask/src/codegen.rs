//! `cargo xtask codegen`: what is generated from the code, and whether it is current.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::shell::root;

/// The wire contract, from `proto/`.
const PROTO: &str = "nkudo/agent/v1/agent.proto";
/// Its package, and so the name of the file that is generated.
const PROTO_PACKAGE: &str = "nkudo.agent.v1";

/// Each generated file with its content.
pub fn generated() -> Result<Vec<(PathBuf, String)>> {
    Ok(vec![
        (root().join("docs/metrics.md"), nkudo_catalogue::markdown()),
        (root().join("crates/rpc/src/generated.rs"), wire_code()?),
    ])
}

/// The Rust code of the wire contract.
fn wire_code() -> Result<String> {
    let files = protox::compile([PROTO], [root().join("proto")]).context("cannot compile proto/")?;
    let out = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .out_dir(out.path())
        .emit_rerun_if_changed(false)
        .compile_fds(files)
        .context("cannot generate the code of proto/")?;
    let code = std::fs::read_to_string(out.path().join(format!("{PROTO_PACKAGE}.rs")))?;
    Ok(format!("//! Generated from proto/{PROTO} by `cargo xtask codegen`; not to be edited.\n\n{code}"))
}

/// The generated files that are not what they would be now.
pub fn stale() -> Result<Vec<PathBuf>> {
    let differs =
        |path: &PathBuf, content: &String| std::fs::read_to_string(path).ok().as_ref() != Some(content);
    let stale = generated()?.into_iter().filter(|(path, content)| differs(path, content));
    Ok(stale.map(|(path, _)| path).collect())
}

/// Writes what is generated, or only says whether it is current.
pub fn run(check: bool) -> Result<()> {
    if check {
        let stale = stale()?;
        if !stale.is_empty() {
            bail!("not current: {stale:?}; run `cargo xtask codegen`");
        }
        return Ok(());
    }
    for (path, content) in generated()? {
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
