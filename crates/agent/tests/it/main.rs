//! What is shipped beside the agent fits it, and what is embedded holds.

mod updates;

use std::path::Path;

use nkudo_agent::config::{SCHEMA, Settings, Sources};

#[test]
fn the_sample_configuration_has_every_key_with_its_default() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deployments/systemd/edge-agent.toml");
    let load = |path: &Path| Sources::new(&SCHEMA, Some(path.to_owned()), [], []).load();
    assert_eq!(load(&sample).expect("it is right as it is"), Settings::default());

    // With its comments taken away every key is set, to what it is without it.
    let text = std::fs::read_to_string(&sample).expect("it is there");
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .filter(|line| !line.starts_with("executor = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("all.toml");
    std::fs::write(&path, &uncommented).expect("it is written");
    let all = SCHEMA.read_file(&path).expect(&uncommented);
    assert_eq!(load(&path).expect("all are right"), Settings::default());
    for key in SCHEMA.keys.iter().filter(|key| key.name != "log_components") {
        assert!(all.iter().any(|raw| raw.key == key.name), "{} is not in the sample", key.name);
    }
}
