//! Control groups: how much a process was held back by a limit on CPU time.
//!
//! Sources: cgroups(7); the kernel's "Control Group v2" (`cpu.max`, `cpu.stat`) and "CFS Bandwidth Control"
//! (`cpu.cfs_quota_us`, `cpu.stat` of v1).

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::process::{self, Identity};

/// Where systemd mounts them; a host that does it otherwise tells nothing here.
pub(crate) const MOUNTED_AT: &str = "/sys/fs/cgroup";

/// How much a limit on CPU time held processes back, since their group was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which the group's time was used up before their end.
    pub periods: u64,
    /// How long its processes had to wait for the next one, added up over CPUs.
    pub time: Duration,
}

/// How much the process was held back, as its innermost group with a limit counts it: together with whatever else is in
/// that group. None where no group limits it, where that cannot be known, and when it is not alive.
///
/// # Errors
/// When the files of a group that has a limit, or the process's own, cannot be read.
pub fn cpu_throttling(process: Identity) -> io::Result<Option<Throttling>> {
    let text = match fs::read_to_string(format!("/proc/{}/cgroup", process.pid)) {
        Ok(text) => text,
        // It has ended, before the file was opened or after.
        Err(_) if !process::is_alive(process) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some((version, group)) = cpu_group(&text) else { return Ok(None) };
    let mount = match version {
        // A link to where it is mounted together with others.
        Version::One => Path::new(MOUNTED_AT).join("cpu"),
        Version::Two => PathBuf::from(MOUNTED_AT),
    };
    let found = innermost_limit(version, &mount, &group)?;
    // Asked after reading: the pid was its own until now.
    Ok(found.filter(|_| process::is_alive(process)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The group that CPU time is limited in, by `/proc/<pid>/cgroup`. None where there is none, or it lies outside of what this
/// process can see.
fn cpu_group(text: &str) -> Option<(Version, PathBuf)> {
    let mut unified = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        if controllers.split(',').any(|controller| controller == "cpu") {
            return inside(path).map(|path| (Version::One, path));
        }
        if (hierarchy, controllers) == ("0", "") {
            unified = inside(path).map(|path| (Version::Two, path));
        }
    }
    unified
}

/// Where the hierarchy of version 2 is mounted: by itself, or beside those of version 1.
pub(crate) fn unified_mount() -> Option<PathBuf> {
    let mounts = [PathBuf::from(MOUNTED_AT), Path::new(MOUNTED_AT).join("unified")];
    mounts.into_iter().find(|mount| mount.join("cgroup.controllers").exists())
}

/// The group of a process in the hierarchy of this controller of version 1, or in that of version 2 when it is "", by its
/// `/proc/<pid>/cgroup`. None where there is none, or it lies outside of what this process can see.
pub(crate) fn group_of(text: &str, controller: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|one| one == controller).then_some(path)
    });
    inside(path?)
}

/// A path below the mount. What is in a namespace above ours begins with `/..`.
fn inside(path: &str) -> Option<PathBuf> {
    let path = Path::new(path.strip_prefix('/')?);
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| path.to_owned())
}

/// What the innermost group with a limit counted.
fn innermost_limit(version: Version, mount: &Path, group: &Path) -> io::Result<Option<Throttling>> {
    for group in group.ancestors() {
        let group = mount.join(group);
        let limit = match version {
            Version::One => group.join("cpu.cfs_quota_us"),
            Version::Two => group.join("cpu.max"),
        };
        match fs::read_to_string(limit) {
            Ok(text) if is_limit(version, &text) => {
                return Ok(throttling(version, &fs::read_to_string(group.join("cpu.stat"))?));
            }
            // The group's time is not controlled, or it was removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// `-1` and `max 100000` are none.
fn is_limit(version: Version, text: &str) -> bool {
    match version {
        Version::One => !text.trim_start().starts_with('-'),
        Version::Two => !text.trim_start().starts_with("max"),
    }
}

/// Of a `cpu.stat`; none where it has no such lines.
fn throttling(version: Version, text: &str) -> Option<Throttling> {
    let field = |name: &str| {
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok();
        text.lines().find_map(value)
    };
    let time = match version {
        Version::One => Duration::from_nanos(field("throttled_time")?),
        Version::Two => Duration::from_micros(field("throttled_usec")?),
    };
    Some(Throttling { periods: field("nr_throttled")?, time })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a kernel of 6.1 has it, in a group with a limit and in one without.
    const STAT_TWO: &str = "usage_usec 1432096\nuser_usec 1104392\nsystem_usec 327704\ncore_sched.force_idle_usec 0\n\
        nr_periods 142\nnr_throttled 73\nthrottled_usec 3511202\nnr_bursts 0\nburst_usec 0\n";
    const STAT_TWO_UNCONTROLLED: &str = "usage_usec 1432096\nuser_usec 1104392\nsystem_usec 327704\n";
    /// As a kernel of 5.15 has it.
    const STAT_ONE: &str =
        "nr_periods 88\nnr_throttled 21\nthrottled_time 1204531907\nnr_bursts 0\nburst_time 0\n";

    #[test]
    fn the_group_is_that_of_the_hierarchy_that_controls_cpus() {
        let check = |text: &str, expected: Option<(Version, &str)>| {
            let expected = expected.map(|(version, path)| (version, PathBuf::from(path)));
            assert_eq!(cpu_group(text), expected, "{text}");
        };
        let service = "0::/system.slice/edge-agent.service\n";
        check(service, Some((Version::Two, "system.slice/edge-agent.service")));
        check("0::/\n", Some((Version::Two, "")));
        let both = "9:name=systemd:/\n4:memory:/a\n3:cpuset:/b\n2:cpu,cpuacct:/c/d:e\n0::/f\n";
        check(both, Some((Version::One, "c/d:e")));
        check("3:cpuset:/b\n2:cpuacct:/c\n", None);
        check("0::/../../elsewhere\n", None);
        check("", None);
        check("nonsense\n", None);
    }

    #[test]
    fn each_hierarchy_has_its_group() {
        let check = |text: &str, controller: &str, expected: Option<&str>| {
            assert_eq!(group_of(text, controller), expected.map(PathBuf::from), "{controller:?} of {text}");
        };
        let both = "9:name=systemd:/s\n6:freezer:/a\n2:cpu,cpuacct:/c/d:e\n0::/f\n";
        check(both, "", Some("f"));
        check(both, "freezer", Some("a"));
        check(both, "cpuacct", Some("c/d:e"));
        check(both, "acct", None);
        check("0::/\n", "", Some(""));
        check("0::/\n", "freezer", None);
        check("0::/../elsewhere\n", "", None);
        check("nonsense\n", "", None);
    }

    #[test]
    fn what_was_counted_is_read_of_both_versions() {
        let check = |version: Version, text: &str, expected: Option<(u64, Duration)>| {
            let expected = expected.map(|(periods, time)| Throttling { periods, time });
            assert_eq!(throttling(version, text), expected, "{text}");
        };
        check(Version::Two, STAT_TWO, Some((73, Duration::from_micros(3_511_202))));
        check(Version::One, STAT_ONE, Some((21, Duration::from_nanos(1_204_531_907))));
        check(Version::Two, STAT_TWO_UNCONTROLLED, None);
        check(Version::One, STAT_TWO, None);
        check(Version::Two, "nr_throttled -1\nthrottled_usec x\n", None);
        check(Version::Two, "", None);
    }

    #[test]
    fn the_innermost_group_with_a_limit_is_asked() {
        let check = |version: Version, files: &[(&str, &str)], expected: Option<u64>| {
            let mount = tempfile::tempdir().unwrap();
            fs::create_dir_all(mount.path().join("slice/service")).unwrap();
            for (path, text) in files {
                fs::write(mount.path().join(path), text).unwrap();
            }
            let found = innermost_limit(version, mount.path(), Path::new("slice/service")).unwrap();
            assert_eq!(found.map(|found| found.periods), expected, "{files:?}");
        };
        let (limited, free) = ("20000 100000\n", "max 100000\n");
        check(
            Version::Two,
            &[("slice/service/cpu.max", limited), ("slice/service/cpu.stat", STAT_TWO)],
            Some(73),
        );
        check(
            Version::Two,
            &[
                ("slice/service/cpu.max", free),
                ("slice/service/cpu.stat", STAT_ONE),
                ("slice/cpu.max", limited),
                ("slice/cpu.stat", STAT_TWO),
            ],
            Some(73),
        );
        check(Version::Two, &[("slice/service/cpu.max", free), ("slice/service/cpu.stat", STAT_TWO)], None);
        check(Version::Two, &[("cpu.stat", STAT_TWO_UNCONTROLLED)], None);
        check(Version::One, &[("slice/cpu.cfs_quota_us", "50000\n"), ("slice/cpu.stat", STAT_ONE)], Some(21));
        check(Version::One, &[("slice/cpu.cfs_quota_us", "-1\n"), ("slice/cpu.stat", STAT_ONE)], None);
    }
}
