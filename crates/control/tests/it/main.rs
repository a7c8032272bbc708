//! What is shipped beside the control plane fits it.

use std::path::Path;

use nkudo_control::config::{SCHEMA, Settings, Sources};

#[test]
fn the_sample_configuration_has_every_key_with_its_default() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deployments/systemd/control-plane.toml");
    let load = |path: &Path| Sources::new(&SCHEMA, Some(path.to_owned()), [], []).load();
    assert_eq!(load(&sample).unwrap(), Settings::default());

    // With its comments taken away every key is set, to what it is without it.
    let text = std::fs::read_to_string(&sample).unwrap();
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .filter(|line| !line.starts_with("control = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.toml");
    std::fs::write(&path, &uncommented).unwrap();
    let all = SCHEMA.read_file(&path).unwrap();
    assert_eq!(load(&path).unwrap(), Settings::default());
    for key in SCHEMA.keys.iter().filter(|key| key.name != "log_components") {
        assert!(all.iter().any(|raw| raw.key == key.name), "{} is not in the sample", key.name);
    }
}
