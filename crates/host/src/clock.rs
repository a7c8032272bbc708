//! The clocks of the host, and which of its boots this is.
//!
//! Durations are differences of [`monotonic_ms`], or of [`boottime_ms`] where the time of a suspended host counts;
//! [`wall_ms`] is for time stamps only, since it is set and stepped.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Wall-clock time in milliseconds since the Unix epoch; negative before it.
pub fn wall_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks for the wall-clock time")]
    let now = SystemTime::now();
    match now.duration_since(UNIX_EPOCH) {
        Ok(after) => saturating_i64(after),
        Err(before) => -saturating_i64(before.duration()),
    }
}

/// Milliseconds since some point before the boot; stands still while the host is suspended, never steps back.
pub fn monotonic_ms() -> u64 {
    read_ms(ClockId::CLOCK_MONOTONIC)
}

/// Milliseconds since the boot, with the time that the host was suspended; never steps back.
pub fn boottime_ms() -> u64 {
    read_ms(ClockId::CLOCK_BOOTTIME)
}

/// The kernel's random identifier of this boot, a UUID in text.
///
/// # Errors
/// When `/proc/sys/kernel/random/boot_id` cannot be read.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

fn read_ms(clock: ClockId) -> u64 {
    let now = Duration::from(clock_gettime(clock).expect("Linux has had this clock since 2.6.39"));
    now.as_secs() * 1000 + u64::from(now.subsec_millis())
}

fn saturating_i64(since: Duration) -> i64 {
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
