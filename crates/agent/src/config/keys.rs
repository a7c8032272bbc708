//! Every key of the agent, once.

use std::path::PathBuf;
use std::time::Duration;

use nkudo_logbook::{FILE_MIN_BYTES, REPEATS_MAX};
use nkudo_settings::{Key, Schema, nearest};
use nkudo_traces::DISK_BYTES_MAX;

use super::Settings;

/// Reads a value into a field: `put!(field, reader)`.
macro_rules! put {
    ($($field:ident).+, $given:ident => $read:expr) => {
        |settings, $given| {
            settings.$($field).+ = $read;
            Ok(())
        }
    };
}

/// The keys of the agent's configuration and where they are looked for.
pub static SCHEMA: Schema<Settings> = Schema {
    prefix: "NKUDO_EDGE_",
    default_file: "/etc/nkudo/edge-agent.toml",
    sections: &[
        "log_components",
        "providers",
        "qemu",
        "commands",
        "check",
        "history",
        "logs",
        "traces",
        "audit",
    ],
    keys: KEYS,
};

const HOUR: Duration = Duration::from_secs(3600);
/// With less there is no room for a block of each series.
const HISTORY_DISK_MIN_BYTES: i64 = 4 << 20;

/// With less there is no room for a few traces.
const TRACES_DISK_MIN_BYTES: i64 = 1 << 20;
/// What is a component in the lines of the log: the supervised parts, and our crates. Others are crates of others.
pub(crate) const COMPONENTS: &[&str] = &[
    "agent",
    "audit",
    "edge-agent",
    "executor",
    "exporter",
    "fleet",
    "history",
    "host",
    "journal",
    "link",
    "local",
    "log",
    "logbook",
    "logging",
    "outages",
    "pki",
    "providers",
    "recorder",
    "rpc",
    "sampler",
    "scribe",
    "spans",
    "supervision",
    "timeseries",
    "traces",
    "tracker",
];
/// With less there is no room for a few files and the reserve.
const AUDIT_DISK_MIN_BYTES: i64 = 256 << 10;
/// A century.
const AUDIT_KEEP_DAYS_MAX: i64 = 36_500;
/// The least and the most traces to keep: a search reads all that are on disk.
const TRACES_MOST: (i64, i64) = (100, 100_000);

/// Every key of the agent's configuration.
const KEYS: &[Key<Settings>] = &[
    Key::<Settings>::new(
        "metrics_addr",
        "where /metrics, /healthz and /readyz are served",
        |s| s.metrics_addr.to_string(),
        put!(metrics_addr, given => {
            nkudo_exporter::parse_addr(given.text()?).map_err(|error| error.to_string())?
        }),
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
                return Err(
                    "must be a table: [log_components] and lines like executor = \"debug\"".to_owned()
                );
            }
            if !COMPONENTS.contains(&given.rest)
                && let Some(near) = nearest(given.rest, COMPONENTS.iter().copied())
            {
                let name = given.rest;
                return Err(format!("`{name}` is no component of the agent; did you mean `{near}`?"));
            }
            settings.log_components.insert(given.rest.to_owned(), given.word()?);
            Ok(())
        },
    )
    .live()
    .free(),
    Key::<Settings>::new(
        "state_dir",
        "where the agent keeps its state",
        |s| s.state_dir.display().to_string(),
        put!(state_dir, given => given.path()?),
    ),
    Key::<Settings>::new(
        "bridge",
        "the bridge of network interfaces",
        |s| s.bridge.clone(),
        put!(bridge, given => given.text()?.to_owned()),
    ),
    Key::<Settings>::new(
        "disk_paths",
        "file systems whose use is exposed",
        |s| format!("{:?}", s.disk_paths),
        put!(disk_paths, given => given.paths()?),
    ),
    Key::<Settings>::new(
        "sample_interval",
        "how often host and VMs are measured",
        |s| format!("{:?}", s.sample_interval),
        put!(sample_interval, given => given.duration(Duration::from_millis(100))?),
    )
    .live(),
    Key::<Settings>::new(
        "stop_wait",
        "how long a stop waits for running actions",
        |s| format!("{:?}", s.stop_wait),
        put!(stop_wait, given => given.duration(Duration::ZERO)?),
    ),
    Key::<Settings>::new(
        "parallel_actions",
        "actions performed at once",
        |s| s.parallel_actions.to_string(),
        put!(parallel_actions, given => usize::try_from(given.number(1, 1_024)?).unwrap_or(usize::MAX)),
    ),
    Key::<Settings>::new(
        "providers.simulated",
        "whether the simulated provider may be used",
        |s| s.simulated.to_string(),
        put!(simulated, given => given.flag()?),
    ),
    Key::<Settings>::new(
        "qemu.program",
        "QEMU's program",
        |s| s.qemu_program.display().to_string(),
        put!(qemu_program, given => PathBuf::from(given.text()?)),
    ),
    Key::<Settings>::new(
        "qemu.accel",
        "auto, kvm or tcg",
        |s| format!("{:?}", s.qemu_accel),
        put!(qemu_accel, given => given.word()?),
    ),
    Key::<Settings>::new(
        "commands.allow",
        "programs that actions may run",
        |s| format!("{:?}", s.commands_allow),
        put!(commands_allow, given => given.paths()?),
    ),
    Key::<Settings>::new(
        "check.min_disk_bytes",
        "least free disk space",
        |s| s.min_disk_bytes.to_string(),
        put!(min_disk_bytes, given => given.number(0, i64::MAX)?),
    ),
    Key::<Settings>::new(
        "check.min_memory_bytes",
        "least memory",
        |s| s.min_memory_bytes.to_string(),
        put!(min_memory_bytes, given => given.number(0, i64::MAX)?),
    ),
    Key::<Settings>::new(
        "history.enabled",
        "whether the host keeps a history of its metrics",
        |s| s.history_enabled.to_string(),
        put!(history_enabled, given => given.flag()?),
    ),
    Key::<Settings>::new(
        "history.interval",
        "how often the metrics go into the host's history",
        |s| format!("{:?}", s.history_interval),
        put!(history_interval, given => given.duration(Duration::from_secs(1))?),
    ),
    Key::<Settings>::new(
        "history.raw",
        "how long they stay there as they were",
        |s| format!("{:?}", s.history_raw),
        put!(history_raw, given => given.duration(HOUR)?),
    ),
    Key::<Settings>::new(
        "history.hourly",
        "how long they stay there by hours",
        |s| format!("{:?}", s.history_hourly),
        put!(history_hourly, given => given.duration(HOUR)?),
    ),
    Key::<Settings>::new(
        "history.daily",
        "how long they stay there by days",
        |s| format!("{:?}", s.history_daily),
        put!(history_daily, given => given.duration(HOUR)?),
    ),
    Key::<Settings>::new(
        "history.disk_bytes",
        "the most disk that the history takes",
        |s| s.history_disk_bytes.to_string(),
        put!(history_disk_bytes, given => given.number(HISTORY_DISK_MIN_BYTES, i64::MAX)?),
    ),
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
        "the most disk that the audit log takes; at it no new action is taken in",
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
        "whether the agent writes log files",
        |s| s.logs.enabled.to_string(),
        put!(logs.enabled, given => given.flag()?),
    ),
    Key::<Settings>::new(
        "logs.dir",
        "where its log files are, when not in the state directory",
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
