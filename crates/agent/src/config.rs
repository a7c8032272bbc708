//! The agent's configuration: flag over environment over file over default, each value with where it came from.

mod error;
mod keys;
mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use nkudo_logging::{LogFormat, LogLevel};
use nkudo_providers::qemu::Accel;

pub use error::{ConfigError, Source};
pub use keys::{KEYS, Key};
pub use raw::{Raw, RawValue, read_environment, read_file, unknown_variables};

/// Where the file is looked for when nobody says.
pub const DEFAULT_FILE: &str = "/etc/nkudo/edge-agent.toml";
/// The prefix of the agent's environment variables.
pub const ENVIRONMENT_PREFIX: &str = "NKUDO_EDGE_";

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
            stop_wait: Duration::from_secs(10),
            parallel_actions: 8,
        }
    }
}

impl Settings {
    /// Settings from layers of raw values, the later over the earlier.
    pub fn from_layers<'r>(layers: impl IntoIterator<Item = &'r Raw>) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        for raw in layers {
            keys::set(&mut settings, raw)?;
        }
        Ok(settings)
    }

    /// The keys whose values differ, for a reload: those that change live, and those that need a restart.
    pub fn changes(&self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        for key in KEYS {
            if (key.show)(self) != (key.show)(new) {
                let list = if key.live { &mut changes.live } else { &mut changes.restart };
                list.push(key.name);
            }
        }
        changes
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

/// What a reload would change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    pub live: Vec<&'static str>,
    pub restart: Vec<&'static str>,
}

/// Where the settings come from, so that they can be read again.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was named; a named file must be there.
    pub file: Option<PathBuf>,
    pub environment: Vec<Raw>,
    /// Variables with our prefix that are no key, each with the nearest that is one.
    pub unknown_variables: Vec<(String, Option<String>)>,
    pub flags: Vec<Raw>,
}

impl Sources {
    /// Reads the file again and puts all layers together.
    pub fn load(&self) -> Result<Settings, ConfigError> {
        let file = match &self.file {
            Some(path) => read_file(path)?,
            None if Path::new(DEFAULT_FILE).exists() => read_file(Path::new(DEFAULT_FILE))?,
            None => Vec::new(),
        };
        Settings::from_layers(file.iter().chain(&self.environment).chain(&self.flags))
    }
}
