//! Which build is running.

use nkudo_metrics_core::{Desc, Registry, label_set};

label_set! {
    struct Build { version: String, commit: String, profile: String }
}

const BUILD_INFO: Desc =
    Desc::gauge("build_info", "The build that is running, in labels; the value is always 1.")
        .labels(&["version", "commit", "profile"]);

pub(super) fn descs(prefix: &str) -> Vec<Desc> {
    vec![BUILD_INFO.with_prefix(prefix)]
}

pub(super) fn register(registry: &Registry, prefix: &str, build: &[(&str, &str)]) {
    for (label, _) in build {
        assert!(BUILD_INFO.labels.contains(label), "build_info has no label {label}");
    }
    let value = |label: &str| {
        build
            .iter()
            .find(|(name, _)| *name == label)
            .map_or_else(String::new, |(_, value)| (*value).to_owned())
    };
    let build = Build { version: value("version"), commit: value("commit"), profile: value("profile") };
    registry.gauge_family::<Build>(&BUILD_INFO.with_prefix(prefix)).get(&build).set(1.0);
}
