//! The agent's configuration: flag over environment over file over default, each value with where it came from.

mod keys;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nkudo_logbook::LogSettings;
pub use nkudo_logging::{LogFormat, LogLevel};
use nkudo_providers::qemu::Accel;

pub(crate) use keys::COMPONENTS;
pub use keys::SCHEMA;
pub use nkudo_settings::{Changes, ConfigError};

/// What a call of the agent gave.
pub type Sources = nkudo_settings::Sources<Settings>;

/// Every setting of the agent, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub metrics_addr: SocketAddr,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    /// Levels of single components, over `log_level`.
    pub log_components: BTreeMap<String, LogLevel>,
    pub state_dir: PathBuf,
    /// The bridge that network interfaces are attached to.
    pub bridge: String,
    /// Whether requests may name the simulated provider.
    pub simulated: bool,
    pub qemu_program: PathBuf,
    pub qemu_accel: Accel,
    /// Programs that `CommandExecute` may run.
    pub commands_allow: Vec<PathBuf>,
    pub min_disk_bytes: u64,
    pub min_memory_bytes: u64,
    /// File systems whose use is exposed, besides that of the state directory.
    pub disk_paths: Vec<PathBuf>,
    /// How often the host and the VMs are measured.
    pub sample_interval: Duration,
    /// Whether the host keeps a history of its own metrics.
    pub history_enabled: bool,
    /// How often the metrics go into it.
    pub history_interval: Duration,
    /// How long they stay there as they were, by hours, and by days.
    pub history_raw: Duration,
    pub history_hourly: Duration,
    pub history_daily: Duration,
    /// The most disk that the history takes; past it the oldest goes.
    pub history_disk_bytes: u64,
    /// The share of traces that are kept, besides those that failed or were slow.
    pub sampling_ratio: f64,
    /// How long a trace takes that is kept in any case.
    pub traces_slow: Duration,
    /// The most disk that recent traces take; past it the oldest go.
    pub traces_disk_bytes: u64,
    /// The most traces, whatever disk they take; past it the oldest go.
    pub traces_most: usize,
    /// The log files.
    pub logs: LogSettings,
    /// The most disk that the audit log takes; at it no new action is taken in.
    pub audit_disk_bytes: u64,
    /// Files of the audit log whose lines are all older go.
    pub audit_keep_days: u32,
    /// How long a stop waits for running actions.
    pub stop_wait: Duration,
    /// Actions performed at once, over all VMs.
    pub parallel_actions: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            metrics_addr: SocketAddr::from(([0, 0, 0, 0], 9090)),
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            log_components: BTreeMap::new(),
            state_dir: PathBuf::from("/var/lib/nkudo-edge"),
            bridge: "br0".to_owned(),
            simulated: false,
            qemu_program: PathBuf::from("qemu-system-x86_64"),
            qemu_accel: Accel::Auto,
            commands_allow: Vec::new(),
            min_disk_bytes: 1 << 30,
            min_memory_bytes: 512 << 20,
            disk_paths: vec![PathBuf::from("/")],
            sample_interval: Duration::from_secs(5),
            history_enabled: true,
            history_interval: Duration::from_secs(15),
            history_raw: Duration::from_secs(24 * 3600),
            history_hourly: Duration::from_secs(7 * 24 * 3600),
            history_daily: Duration::from_secs(30 * 24 * 3600),
            history_disk_bytes: 64 << 20,
            sampling_ratio: 1.0,
            traces_slow: Duration::from_secs(1),
            traces_disk_bytes: 16 << 20,
            traces_most: 3_000,
            logs: LogSettings::default(),
            audit_disk_bytes: 256 << 20,
            audit_keep_days: 90,
            stop_wait: Duration::from_secs(10),
            parallel_actions: 8,
        }
    }
}

impl Settings {
    /// The keys whose values differ, for a reload.
    pub fn changes(&self, new: &Self) -> Changes {
        SCHEMA.changes(self, new)
    }

    /// These settings with what can change live taken from `new`.
    pub fn with_live_from(&self, new: &Self) -> Self {
        Self {
            log_level: new.log_level,
            log_components: new.log_components.clone(),
            sample_interval: new.sample_interval,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("edge-agent.toml");
        std::fs::write(&file, text).unwrap();
        Sources::new(&SCHEMA, Some(file), [], []).load()
    }

    fn check(text: &str, sentence: &str) {
        let error = load(text).expect_err(text);
        assert!(error.to_string().contains(sentence), "{error}\nwanted: {sentence}");
    }

    #[test]
    fn each_fault_names_its_line_and_the_remedy() {
        check(
            "\nlog_levle = \"info\"",
            "edge-agent.toml:2: unknown key `log_levle`; did you mean `log_level`?",
        );
        check("log_level = \"loud\"", "edge-agent.toml:1: log_level: `loud` is not");
        check("[qemu]\naccel = \"turbo\"", "auto, kvm, tcg");
        check("metrics_addr = \"nowhere\"", "metrics_addr:");
        check("[check]\nmin_disk_bytes = -1", "min_disk_bytes: must be a whole number from 0");
        check("[logs]\nrotate = \"weekly\"", "hourly, daily, never");
        check("[logs]\nrepeats = 1000001", "logs.repeats: must be a whole number from 0 to 1000000");
        check("[logs]\nmax_total_bytes = 1", "logs.max_total_bytes: must be a whole number from 65536");
        check("[logs]\ndir = \"logs\"", "logs.dir:");
        check("[traces]\nmost = 99", "traces.most: must be a whole number from 100 to 100000");
        check(
            "[traces]\ndisk_bytes = 134217729",
            "traces.disk_bytes: must be a whole number from 1048576 to 134217728",
        );
        check("[audit]\ndisk_bytes = 1", "audit.disk_bytes: must be a whole number from 262144");
        check("[audit]\nkeep_days = 0", "audit.keep_days: must be a whole number from 1 to 36500");
        check(
            "[log_components]\nexcutor = \"debug\"",
            "edge-agent.toml:2: log_components: `excutor` is no component of the agent; did you mean `executor`?",
        );
        check("log_components = \"debug\"", "log_components: must be a table");
    }

    #[test]
    fn an_empty_directory_of_logs_is_the_default_one() {
        assert_eq!(load("[logs]\ndir = \"\"\nmax_file_bytes = 65536").unwrap().logs.dir, None);
        let given = load("[logs]\ndir = \"/var/log/nkudo\"").unwrap();
        assert_eq!(given.logs.dir, Some(PathBuf::from("/var/log/nkudo")));
    }

    #[test]
    fn later_layers_win() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("edge-agent.toml");
        std::fs::write(&file, "log_level = \"warn\"\n[qemu]\naccel = \"tcg\"").unwrap();
        let variables =
            [("NKUDO_EDGE_LOG_LEVEL", "error"), ("NKUDO_EDGE_QEMU_ACCEL", "kvm"), ("HOME", "/root")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flags = [("log_level", "log-level", Some("debug".to_owned()))];
        let settings = Sources::new(&SCHEMA, Some(file), flags, variables).load().unwrap();
        assert_eq!(settings.log_level, LogLevel::Debug);
        assert_eq!(settings.qemu_accel, Accel::Kvm);
    }
}
