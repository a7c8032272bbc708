//! Programs that are run to their end, with all that they start, in control groups and without.

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use nkudo_host::contained::{Contained, Ended, Groups, Owner, Running, start};
use nkudo_host::process;
use nkudo_host::spawn::SpawnError;

use crate::children::{soon, until};

mod held;
mod left_over;
mod measured;
mod narrow;
mod said;
mod whole;

/// One test's program, and how its processes are known among all.
struct Case {
    owner: Owner,
    /// An argument of all its processes: a time to sleep that no other has.
    token: String,
    groups: Groups,
}

impl Case {
    fn new(groups: Groups) -> Case {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let token = format!("600.{}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Case { owner: Owner::new(&token).in_groups(groups), token, groups }
    }

    /// `/bin/sh -c script` with the token as `$0`, which also names it.
    fn shell(&self, script: &str) -> Running {
        self.try_shell(script).expect("it starts")
    }

    fn try_shell(&self, script: &str) -> Result<Running, SpawnError> {
        let args: [OsString; 3] = ["-c".into(), script.into(), self.token.clone().into()];
        let env = [("PATH".into(), "/usr/bin:/bin".into())];
        start(Contained {
            program: Path::new("/bin/sh"),
            args: &args,
            cwd: Path::new("/"),
            env: &env,
            name: &self.token,
            owner: &self.owner,
            output_max: 100_000,
        })
    }

    /// Those of its processes that live.
    fn alive(&self) -> Vec<u32> {
        self.running(|_| true)
    }

    /// Waits until so many of its processes sleep. Shells come and go while they start others.
    async fn until_asleep(&self, number: usize) {
        let asleep = || self.running(|line| line.first().is_some_and(|program| program.ends_with("sleep")));
        until("all asleep", || (asleep().len() == number).then_some(())).await;
    }

    fn running(&self, is_wanted: impl Fn(&[String]) -> bool) -> Vec<u32> {
        let entries = std::fs::read_dir("/proc").expect("a listing").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let named = |pid: &u32| {
            process::command_line(*pid).is_some_and(|line| line.contains(&self.token) && is_wanted(&line))
        };
        pids.filter(named).filter(|pid| process::identity(*pid).is_some()).collect()
    }

    fn is_grouped(&self) -> bool {
        self.groups != Groups::None
    }

    /// Its control groups.
    fn groups(&self) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut rest = vec![Path::new("/sys/fs/cgroup").to_owned()];
        while let Some(directory) = rest.pop() {
            // Others come and go meanwhile.
            for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    rest.push(entry.path());
                    if entry.file_name().to_string_lossy().ends_with(&self.token) {
                        found.push(entry.path());
                    }
                }
            }
        }
        found
    }
}

/// A case in each way to contain that this host has; says of those that it has not.
fn each_way() -> Vec<Case> {
    let works = |case: &Case| {
        let works = case.shell("exec sleep $0").is_grouped() == case.is_grouped();
        if !works {
            eprintln!("SKIPPED with {:?}: no such control group can be made here", case.groups);
        }
        works
    };
    [Groups::Unified, Groups::Legacy, Groups::None].map(Case::new).into_iter().filter(works).collect()
}

/// How a script ended.
async fn run(script: &str) -> Ended {
    soon("its end", Case::new(Groups::Any).shell(script).ended()).await
}
