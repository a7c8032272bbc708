//! What is shipped beside the agent fits it.

use std::path::Path;

use nkudo_agent::config::{KEYS, Settings, read_file};

#[test]
fn the_sample_configuration_has_every_key_with_its_default() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deployments/systemd/edge-agent.toml");
    let as_shipped = read_file(&sample).expect("it parses as it is");
    assert_eq!(Settings::from_layers(&as_shipped).expect("and is right"), Settings::default());

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
    let all = read_file(&path).expect(&uncommented);
    assert_eq!(Settings::from_layers(&all).expect("all are right"), Settings::default());
    for key in KEYS.iter().filter(|key| key.name != "log_components") {
        assert!(all.iter().any(|raw| raw.key == key.name), "{} is not in the sample", key.name);
    }
}
