//! Every key, once: its name, whether it changes live, how it is set and shown.

use std::path::PathBuf;
use std::time::Duration;

use nkudo_logging::{LogFormat, LogLevel};

use super::Settings;
use super::error::{ConfigError, Source};
use super::raw::{Raw, RawValue};

/// The tables of a configuration file.
pub(super) const SECTIONS: [&str; 5] = ["log_components", "providers", "qemu", "commands", "check"];

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// With its section: `qemu.accel`.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// Whether a reload changes it; else it needs a restart.
    pub live: bool,
    /// The value of these settings, as text.
    pub show: fn(&Settings) -> String,
}

impl Key {
    /// Whether `key` is this one; a table of free keys is named by its section.
    pub(super) fn names(&self, key: &str) -> bool {
        self.name == key
            || (self.name == "log_components"
                && key.strip_prefix("log_components.").is_some_and(|k| !k.is_empty()))
    }

    /// Its environment variable without the prefix, in small letters.
    pub(super) fn variable(&self) -> String {
        self.name.replace('.', "_")
    }
}

macro_rules! keys {
    ($($name:literal, $live:literal, $show:expr, $help:literal;)+) => {
        /// Every key of the agent's configuration.
        pub const KEYS: &[Key] = &[$(Key { name: $name, help: $help, live: $live, show: $show }),+];
    };
}

keys! {
    "metrics_addr", false, |s| s.metrics_addr.to_string(), "where /metrics, /healthz and /readyz are served";
    "log_format", false, |s| format!("{:?}", s.log_format), "text or json";
    "log_level", true, |s| format!("{:?}", s.log_level), "debug, info, warn or error";
    "log_components", true, |s| format!("{:?}", s.log_components), "levels of single components";
    "state_dir", false, |s| s.state_dir.display().to_string(), "where the agent keeps its state";
    "bridge", false, |s| s.bridge.clone(), "the bridge of network interfaces";
    "disk_paths", false, |s| format!("{:?}", s.disk_paths), "file systems whose use is exposed";
    "sample_interval", true, |s| format!("{:?}", s.sample_interval), "how often host and VMs are measured";
    "stop_wait", false, |s| format!("{:?}", s.stop_wait), "how long a stop waits for running actions";
    "parallel_actions", false, |s| s.parallel_actions.to_string(), "actions performed at once";
    "providers.simulated", false, |s| s.simulated.to_string(), "whether the simulated provider may be used";
    "qemu.program", false, |s| s.qemu_program.display().to_string(), "QEMU's program";
    "qemu.accel", false, |s| format!("{:?}", s.qemu_accel), "auto, kvm or tcg";
    "commands.allow", false, |s| format!("{:?}", s.commands_allow), "programs that actions may run";
    "check.min_disk_bytes", false, |s| s.min_disk_bytes.to_string(), "least free disk space";
    "check.min_memory_bytes", false, |s| s.min_memory_bytes.to_string(), "least memory";
}

/// Puts one raw value into its place.
pub(super) fn set(settings: &mut Settings, raw: &Raw) -> Result<(), ConfigError> {
    let name = KEYS.iter().find(|key| key.names(&raw.key)).map_or("", |key| key.name);
    let bad = |detail: String| ConfigError::BadValue { source_at: raw.source.clone(), key: name, detail };
    let value = &raw.value;
    match name {
        "metrics_addr" => {
            let parse = |text: &str| nkudo_exporter::parse_addr(text).map_err(|error| error.to_string());
            settings.metrics_addr = text(value).and_then(parse).map_err(bad)?;
        }
        "log_format" => settings.log_format = word::<LogFormat>(value).map_err(bad)?,
        "log_level" => settings.log_level = word::<LogLevel>(value).map_err(bad)?,
        "log_components" => {
            let component = raw.key.strip_prefix("log_components.").unwrap_or_default().to_owned();
            if component.is_empty() {
                return Err(bad(
                    "must be a table: [log_components] and lines like executor = \"debug\"".to_owned()
                ));
            }
            settings.log_components.insert(component, word::<LogLevel>(value).map_err(bad)?);
        }
        "state_dir" => settings.state_dir = path(value, &raw.source).map_err(bad)?,
        "bridge" => settings.bridge = text(value).map_err(bad)?.to_owned(),
        "disk_paths" => settings.disk_paths = paths(value).map_err(bad)?,
        "sample_interval" => {
            let least = Duration::from_millis(100);
            settings.sample_interval = duration(value, least).map_err(bad)?;
        }
        "stop_wait" => settings.stop_wait = duration(value, Duration::ZERO).map_err(bad)?,
        "parallel_actions" => {
            let number = number(value, 1, 1_024).map_err(bad)?;
            settings.parallel_actions = usize::try_from(number).unwrap_or(usize::MAX);
        }
        "providers.simulated" => settings.simulated = flag(value).map_err(bad)?,
        "qemu.program" => settings.qemu_program = PathBuf::from(text(value).map_err(bad)?),
        "qemu.accel" => settings.qemu_accel = word(value).map_err(bad)?,
        "commands.allow" => settings.commands_allow = paths(value).map_err(bad)?,
        "check.min_disk_bytes" => settings.min_disk_bytes = number(value, 0, i64::MAX).map_err(bad)?,
        "check.min_memory_bytes" => settings.min_memory_bytes = number(value, 0, i64::MAX).map_err(bad)?,
        // `Raw` values are made for known keys only.
        _ => {
            return Err(ConfigError::UnknownKey {
                source_at: raw.source.clone(),
                key: raw.key.clone(),
                hint: "it is not a key of the agent".to_owned(),
            });
        }
    }
    Ok(())
}

fn text(value: &RawValue) -> Result<&str, String> {
    match value {
        RawValue::Text(text) => Ok(text),
        RawValue::Flag(_) | RawValue::Number(_) | RawValue::List(_) | RawValue::Other(_) => {
            Err(format!("must be a string, not {}", shown(value)))
        }
    }
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(value: &RawValue) -> Result<T, String> {
    text(value)?.parse().map_err(|error: T::Err| error.to_string())
}

fn flag(value: &RawValue) -> Result<bool, String> {
    match value {
        RawValue::Flag(flag) => Ok(*flag),
        RawValue::Text(text) if text == "true" => Ok(true),
        RawValue::Text(text) if text == "false" => Ok(false),
        RawValue::Text(_) | RawValue::Number(_) | RawValue::List(_) | RawValue::Other(_) => {
            Err(format!("must be true or false, not {}", shown(value)))
        }
    }
}

fn number(value: &RawValue, min: i64, max: i64) -> Result<u64, String> {
    let number = match value {
        RawValue::Number(number) => Some(*number),
        RawValue::Text(text) => text.parse().ok(),
        RawValue::Flag(_) | RawValue::List(_) | RawValue::Other(_) => None,
    };
    number
        .filter(|number| (min..=max).contains(number))
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| format!("must be a whole number from {min} to {max}, not {}", shown(value)))
}

fn duration(value: &RawValue, least: Duration) -> Result<Duration, String> {
    let text = text(value)?;
    let wrong = || format!("`{text}` is not a duration; write it like 500ms, 5s or 2m");
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(parsed).map_err(|_| wrong())?;
    if duration < least { Err(format!("must be at least {}ms", least.as_millis())) } else { Ok(duration) }
}

/// A path from a file is absolute; one from the command line or the environment counts from where the user stands.
fn path(value: &RawValue, source: &Source) -> Result<PathBuf, String> {
    let text = text(value)?;
    match source {
        Source::File { .. } => absolute(text),
        Source::Flag(_) | Source::Environment(_) => {
            std::path::absolute(text).map_err(|error| format!("`{text}` is not a path: {error}"))
        }
    }
}

fn paths(value: &RawValue) -> Result<Vec<PathBuf>, String> {
    match value {
        RawValue::List(list) => list.iter().map(|item| absolute(item)).collect(),
        RawValue::Text(text) => text.split(',').filter(|item| !item.is_empty()).map(absolute).collect(),
        RawValue::Flag(_) | RawValue::Number(_) | RawValue::Other(_) => {
            Err(format!("must be a list of strings, not {}", shown(value)))
        }
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("must be an absolute path, not `{text}`")) }
}

fn shown(value: &RawValue) -> String {
    match value {
        RawValue::Text(text) => format!("`{}`", text.chars().take(64).collect::<String>()),
        RawValue::Flag(flag) => flag.to_string(),
        RawValue::Number(number) => number.to_string(),
        RawValue::List(_) => "a list".to_owned(),
        RawValue::Other(what) => (*what).to_owned(),
    }
}
