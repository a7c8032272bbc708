//! The control plane's configuration: flag over environment over file over default, each value with where it came
//! from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nkudo_logbook::{FILE_MIN_BYTES, LogSettings, REPEATS_MAX};
use nkudo_logging::{LogFormat, LogLevel};
use nkudo_settings::{Key, Schema, nearest};
use nkudo_traces::DISK_BYTES_MAX;

pub use nkudo_settings::{Changes, ConfigError};

/// The longest life of an agent's certificate, a year: what is not renewed for that long is not used.
const CERTIFICATE_LIFETIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// The shortest time for which ended actions are kept: an agent may tell of them again for that long.
const RETENTION_MIN: Duration = Duration::from_secs(8 * 24 * 3600);

/// With less there is no room for a few traces.
const TRACES_DISK_MIN_BYTES: i64 = 1 << 20;
/// What is a component in the lines of the log: the supervised parts, and our crates. Others are crates of others.
pub(crate) const COMPONENTS: &[&str] = &[
    "api",
    "audit",
    "certificate",
    "control",
    "control-plane",
    "deeds",
    "exporter",
    "fleet",
    "host",
    "housekeeping",
    "http",
    "journal",
    "log",
    "logbook",
    "logging",
    "pki",
    "recorder",
    "rpc",
    "scribe",
    "spans",
    "store",
    "supervision",
    "tls",
    "traces",
];
/// With less there is no room for a few files and the reserve.
const AUDIT_DISK_MIN_BYTES: i64 = 256 << 10;
/// A century.
const AUDIT_KEEP_DAYS_MAX: i64 = 36_500;
/// The least and the most traces to keep: a search reads all that are on disk.
const TRACES_MOST: (i64, i64) = (100, 100_000);

/// What a call of the control plane gave.
pub type Sources = nkudo_settings::Sources<Settings>;

/// Every setting of the control plane, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where agents connect, and operators over TLS.
    pub listen: SocketAddr,
    /// Where the local operator connects.
    pub http_listen: SocketAddr,
    pub data_dir: PathBuf,
    /// SQLite in the data directory when absent.
    pub database_url: Option<String>,
    /// Names and addresses of the server's certificate, besides those of this host.
    pub server_names: Vec<String>,
    /// How often agents are to be heard of.
    pub heartbeat_interval: Duration,
    /// How long an agent's certificate is good.
    pub certificate_lifetime: Duration,
    /// From the request to the moment after which an action is not started.
    pub action_lifetime: Duration,
    /// How long what has ended, expired or left stays in the books.
    pub retention: Duration,
    /// The share of traces that are kept, besides those that failed or were slow.
    pub sampling_ratio: f64,
    /// How long a trace takes that is kept in any case.
    pub traces_slow: Duration,
    /// The most disk that recent traces take; past it the oldest go.
    pub traces_disk_bytes: u64,
    /// The most traces, whatever disk they take; past it the oldest go.
    pub traces_most: usize,
    /// How long a stop waits for open requests.
    pub stop_wait: Duration,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    /// Levels of single components, over `log_level`.
    pub log_components: BTreeMap<String, LogLevel>,
    /// The log files.
    pub logs: LogSettings,
    /// The most disk that the audit log takes; at it nothing new is taken in.
    pub audit_disk_bytes: u64,
    /// Files of the audit log whose lines are all older go.
    pub audit_keep_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            http_listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("/var/lib/nkudo"),
            database_url: None,
            server_names: Vec::new(),
            heartbeat_interval: Duration::from_secs(15),
            certificate_lifetime: Duration::from_secs(30 * 24 * 3600),
            action_lifetime: Duration::from_secs(3600),
            retention: Duration::from_secs(90 * 24 * 3600),
            sampling_ratio: 1.0,
            traces_slow: Duration::from_secs(1),
            traces_disk_bytes: 16 << 20,
            traces_most: 20_000,
            stop_wait: Duration::from_secs(5),
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            log_components: BTreeMap::new(),
            logs: LogSettings::default(),
            audit_disk_bytes: 256 << 20,
            audit_keep_days: 90,
        }
    }
}

impl Settings {
    /// The keys whose values differ, for a reload.
    pub fn changes(&self, new: &Self) -> Changes {
        SCHEMA.changes(self, new)
    }

    /// These settings with what can change live taken from `new`.
    #[must_use]
    pub fn with_live_from(&self, new: &Self) -> Self {
        Self { log_level: new.log_level, log_components: new.log_components.clone(), ..self.clone() }
    }
}

/// The keys of the control plane's configuration and where they are looked for.
pub static SCHEMA: Schema<Settings> = Schema {
    prefix: "NKUDO_CP_",
    default_file: "/etc/nkudo/control-plane.toml",
    sections: &["log_components", "logs", "traces", "audit"],
    keys: KEYS,
};

/// Reads a value into a field.
macro_rules! put {
    ($($field:ident).+, $given:ident => $read:expr) => {
        |settings, $given| {
            settings.$($field).+ = $read;
            Ok(())
        }
    };
}

/// Reads an address.
macro_rules! addr {
    ($field:ident) => {
        put!($field, given => nkudo_exporter::parse_addr(given.text()?).map_err(|error| error.to_string())?)
    };
}

const KEYS: &[Key<Settings>] = &[
    Key::<Settings>::new("listen", "where agents connect", |s| s.listen.to_string(), addr!(listen)),
    Key::<Settings>::new(
        "http_listen",
        "where the local operator connects",
        |s| s.http_listen.to_string(),
        addr!(http_listen),
    ),
    Key::<Settings>::new(
        "data_dir",
        "where the control plane keeps its state",
        |s| s.data_dir.display().to_string(),
        put!(data_dir, given => given.path()?),
    ),
    Key::<Settings>::new(
        "database_url",
        "the database, when it is not in the data directory",
        |s| s.database_url.clone().unwrap_or_default(),
        put!(database_url, given => Some(given.text()?.to_owned()).filter(|url| !url.is_empty())),
    ),
    Key::<Settings>::new(
        "server_names",
        "names and addresses that agents use for this server, besides its own",
        |s| s.server_names.join(","),
        put!(server_names, given => given.texts()?),
    ),
    Key::<Settings>::new(
        "heartbeat_interval",
        "how often agents are to be heard of",
        |s| format!("{:?}", s.heartbeat_interval),
        put!(heartbeat_interval, given => given.duration(Duration::from_millis(100))?),
    ),
    Key::<Settings>::new(
        "certificate_lifetime",
        "how long an agent's certificate is good",
        |s| format!("{:?}", s.certificate_lifetime),
        put!(certificate_lifetime, given => {
            let lifetime = given.duration(Duration::from_secs(10))?;
            if lifetime > CERTIFICATE_LIFETIME_MAX {
                return Err(format!("must be at most {} h", CERTIFICATE_LIFETIME_MAX.as_secs() / 3_600));
            }
            lifetime
        }),
    ),
    Key::<Settings>::new(
        "action_lifetime",
        "how long an action may wait for its agent",
        |s| format!("{:?}", s.action_lifetime),
        put!(action_lifetime, given => given.duration(Duration::from_secs(1))?),
    ),
    Key::<Settings>::new(
        "retention",
        "how long ended actions and executions, expired certificates and tokens, and unenrolled agents are kept",
        |s| format!("{:?}", s.retention),
        put!(retention, given => given.duration(RETENTION_MIN)?),
    ),
    Key::<Settings>::new(
        "stop_wait",
        "how long a stop waits for open requests",
        |s| format!("{:?}", s.stop_wait),
        put!(stop_wait, given => given.duration(Duration::ZERO)?),
    ),
    Key::<Settings>::new(
        "log_format",
        "text or json",
        |s| format!("{:?}", s.log_format),
        put!(log_format, given => given.word()?),
    ),
    Key::<Settings>::new(
        "log_level",
        "debug, info, warn or error",
        |s| format!("{:?}", s.log_level),
        put!(log_level, given => given.word()?),
    )
    .live(),
    Key::<Settings>::new(
        "log_components",
        "levels of single components",
        |s| format!("{:?}", s.log_components),
        |settings, given| {
            if given.rest.is_empty() {
                return Err("must be a table: [log_components] and lines like tls = \"debug\"".to_owned());
            }
            if !COMPONENTS.contains(&given.rest)
                && let Some(near) = nearest(given.rest, COMPONENTS.iter().copied())
            {
                let name = given.rest;
                return Err(format!("`{name}` is no component of the control plane; did you mean `{near}`?"));
            }
            settings.log_components.insert(given.rest.to_owned(), given.word()?);
            Ok(())
        },
    )
    .live()
    .free(),
    Key::<Settings>::new(
        "sampling_ratio",
        "the share of traces that are kept, besides those that failed or were slow",
        |s| s.sampling_ratio.to_string(),
        put!(sampling_ratio, given => given.share()?),
    ),
    Key::<Settings>::new(
        "traces.slow",
        "how long a trace takes that is kept in any case",
        |s| format!("{:?}", s.traces_slow),
        put!(traces_slow, given => given.duration(Duration::ZERO)?),
    ),
    Key::<Settings>::new(
        "traces.disk_bytes",
        "the most disk that recent traces take",
        |s| s.traces_disk_bytes.to_string(),
        put!(traces_disk_bytes, given => given.number(TRACES_DISK_MIN_BYTES, DISK_BYTES_MAX.cast_signed())?),
    ),
    Key::<Settings>::new(
        "traces.most",
        "the most recent traces, whatever disk they take; each takes 128 bytes of memory",
        |s| s.traces_most.to_string(),
        put!(traces_most, given => usize::try_from(given.number(TRACES_MOST.0, TRACES_MOST.1)?).unwrap_or(usize::MAX)),
    ),
    Key::<Settings>::new(
        "audit.disk_bytes",
        "the most disk that the audit log takes; at it nothing new is taken in",
        |s| s.audit_disk_bytes.to_string(),
        put!(audit_disk_bytes, given => given.number(AUDIT_DISK_MIN_BYTES, i64::MAX)?),
    ),
    Key::<Settings>::new(
        "audit.keep_days",
        "how many days lines stay in the audit log at the least",
        |s| s.audit_keep_days.to_string(),
        put!(audit_keep_days, given => {
            u32::try_from(given.number(1, AUDIT_KEEP_DAYS_MAX)?).unwrap_or(u32::MAX)
        }),
    ),
    Key::<Settings>::new(
        "logs.enabled",
        "whether the server writes log files",
        |s| s.logs.enabled.to_string(),
        put!(logs.enabled, given => given.flag()?),
    ),
    Key::<Settings>::new(
        "logs.dir",
        "where its log files are, when not in the data directory",
        |s| s.logs.dir.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default(),
        put!(logs.dir, given => if given.text()?.is_empty() { None } else { Some(given.path()?) }),
    ),
    Key::<Settings>::new(
        "logs.max_total_bytes",
        "the most disk that log files take",
        |s| s.logs.max_total_bytes.to_string(),
        put!(logs.max_total_bytes, given => given.number(FILE_MIN_BYTES, i64::MAX)?),
    ),
    Key::<Settings>::new(
        "logs.max_file_bytes",
        "the largest log file; never larger than all may be together",
        |s| s.logs.max_file_bytes.to_string(),
        put!(logs.max_file_bytes, given => given.number(FILE_MIN_BYTES, i64::MAX)?),
    ),
    Key::<Settings>::new(
        "logs.rotate",
        "how often a log file is begun anew: minutely, hourly, daily or never",
        |s| format!("{:?}", s.logs.rotate),
        put!(logs.rotate, given => given.word()?),
    ),
    Key::<Settings>::new(
        "logs.repeats",
        "lines of one call site in ten seconds; 0 is no limit",
        |s| s.logs.repeats.to_string(),
        put!(logs.repeats, given => u32::try_from(given.number(0, REPEATS_MAX)?).unwrap_or(u32::MAX)),
    ),
];
