//! `cargo xtask codegen`: what is generated from the code, and whether it is current.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::shell::root;

/// Each generated file with its content.
pub fn generated() -> Vec<(PathBuf, String)> {
    vec![(root().join("docs/metrics.md"), nkudo_catalogue::markdown())]
}

/// The generated files that are not what they would be now.
pub fn stale() -> Vec<PathBuf> {
    let differs =
        |path: &PathBuf, content: &String| std::fs::read_to_string(path).ok().as_ref() != Some(content);
    generated().into_iter().filter(|(path, content)| differs(path, content)).map(|(path, _)| path).collect()
}

/// Writes what is generated, or only says whether it is current.
pub fn run(check: bool) -> Result<()> {
    if check {
        let stale = stale();
        if !stale.is_empty() {
            bail!("not current: {stale:?}; run `cargo xtask codegen`");
        }
        return Ok(());
    }
    for (path, content) in generated() {
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
