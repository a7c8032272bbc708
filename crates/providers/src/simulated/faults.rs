//! The faults that labels ask for.

use std::str::FromStr;
use std::time::Duration;

use nkudo_domain::VmSpec;

use super::Deed;

/// What labels with the prefix `simulated.` say about one VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Faults {
    boot: Duration,
    delay: Duration,
    fail: Option<Deed>,
    fail_times: Option<u32>,
    hang: Option<Deed>,
    exit_after: Option<Duration>,
    silent_after: Option<Duration>,
    lie: Option<Deed>,
}

/// A failure that a label asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) transient: bool,
}

impl Faults {
    /// The faults of a VM; a label that cannot be understood is told in a sentence.
    pub(super) fn of(spec: &VmSpec) -> Result<Self, String> {
        let mut faults = Self::default();
        for (key, value) in &spec.labels {
            let Some(name) = key.strip_prefix("simulated.") else { continue };
            let deed = || deed(value).ok_or_else(|| format!("label {key}: `{value}` is not a deed"));
            match name {
                "boot_ms" => faults.boot = Duration::from_millis(number(key, value)?),
                "delay_ms" => faults.delay = Duration::from_millis(number(key, value)?),
                "fail" => faults.fail = Some(deed()?),
                "fail_times" => faults.fail_times = Some(number(key, value)?),
                "hang" => faults.hang = Some(deed()?),
                "exit_after_ms" => faults.exit_after = Some(Duration::from_millis(number(key, value)?)),
                "silent_after_ms" => faults.silent_after = Some(Duration::from_millis(number(key, value)?)),
                "lie" => faults.lie = Some(deed()?),
                _ => return Err(format!("label {key}: there is no such fault")),
            }
        }
        Ok(faults)
    }

    pub(super) fn takes(&self, deed: Deed) -> Duration {
        if deed == Deed::Boot { self.delay.saturating_add(self.boot) } else { self.delay }
    }

    pub(super) fn hangs(&self, deed: Deed) -> bool {
        self.hang == Some(deed)
    }

    pub(super) fn lies(&self, deed: Deed) -> bool {
        self.lie == Some(deed)
    }

    pub(super) fn exit_after(&self) -> Option<Duration> {
        self.exit_after
    }

    /// How long after its boot the VM does not say any more how it is.
    pub(super) fn silent_after(&self) -> Option<Duration> {
        self.silent_after
    }

    /// Whether the deed fails, after so many failures before.
    pub(super) fn failure(&self, deed: Deed, failures_so_far: u32) -> Option<Failure> {
        match self.fail_times {
            Some(times) => {
                let meant = self.fail.is_none_or(|fail| fail == deed);
                (meant && failures_so_far < times).then_some(Failure { transient: true })
            }
            None => (self.fail == Some(deed)).then_some(Failure { transient: false }),
        }
    }
}

/// The deed's name in a label.
pub(super) fn word(deed: Deed) -> &'static str {
    match deed {
        Deed::Create => "create",
        Deed::Boot => "boot",
        Deed::PowerOff => "power_off",
        Deed::ForceOff => "force_off",
        Deed::Pause => "pause",
        Deed::Resume => "resume",
        Deed::Delete => "delete",
    }
}

fn deed(text: &str) -> Option<Deed> {
    use Deed::{Boot, Create, Delete, ForceOff, Pause, PowerOff, Resume};
    [Create, Boot, PowerOff, ForceOff, Pause, Resume, Delete].into_iter().find(|deed| word(*deed) == text)
}

fn number<N: FromStr>(key: &str, value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("label {key}: `{value}` is not a number"))
}
