//! What every service exposes: its process, its async runtime, its build, and what its registry refused.

mod build_info;
mod process;
mod runtime;

use std::sync::Arc;

use nkudo_metrics_core::{Desc, Registry};
use tokio::runtime::Handle;

/// Registers all of them. `process_*` keeps its usual names; the others get the prefix. `build` gives values to the
/// labels of `build_info`: `version`, `commit` and `profile`.
///
/// # Panics
/// Outside a tokio runtime, whose metrics could not be read then; when `build` names another label; and as all
/// registrations do.
pub fn register(registry: &Registry, prefix: &str, build: &[(&str, &str)]) {
    registry.collector(process::descs(), Arc::new(process::Process));
    registry.collector(runtime::descs(prefix), Arc::new(runtime::Runtime(Handle::current())));
    build_info::register(registry, prefix, build);
    registry.register_own(prefix);
}

/// What [`register`] registers.
pub fn descs(prefix: &str) -> Vec<Desc> {
    [process::descs(), runtime::descs(prefix), build_info::descs(prefix), Registry::own_descs(prefix)]
        .concat()
}
