//! What must be so after the fire: pure, from what was asked for, what the books say, and what is there.

use std::collections::BTreeSet;
use std::fmt;

use nkudo_domain::VmState;

/// In which way something broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Something asked for did not come to what it should have, or somebody does not know of it.
    Lost,
    /// Something came about, or was written down, more often than once.
    Doubled,
    /// A process that no VM accounts for.
    Orphan,
    /// Anything else that should be gone: files, descriptors, network interfaces, entries of the books.
    Leak,
}

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    pub fault: Fault,
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Lost => "lost",
            Fault::Doubled => "doubled",
            Fault::Orphan => "orphan",
            Fault::Leak => "leak",
        };
        write!(f, "{fault}: {}", self.what)
    }
}

/// What the table of actions by states makes of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Done,
    Unchanged,
    Refused,
}

impl Expected {
    fn end(self) -> End {
        let (status, changed) = match self {
            Self::Done => ("success", true),
            Self::Unchanged => ("success", false),
            Self::Refused => ("failure", false),
        };
        End { status: status.to_owned(), changed: Some(changed) }
    }
}

/// How an action ended, as somebody tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub status: String,
    pub changed: Option<bool>,
}

/// What everybody who keeps books knows of one action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The control plane's action.
    pub in_books: Option<End>,
    /// The statuses of the control plane's executions of it.
    pub executions: Vec<String>,
    /// Those of the host's own.
    pub host_executions: Vec<String>,
    /// The statuses that the host's journal holds as its end.
    pub journal: Vec<String>,
}

/// Judges one action: done as the table says, and written down by everybody once and alike.
pub fn action(action_id: &str, expected: Expected, known: &Known) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut breaks =
        |fault, what: String| breaches.push(Breach { fault, what: format!("{action_id}: {what}") });
    let wanted = expected.end();
    match &known.in_books {
        None => breaks(Fault::Lost, "it is not in the books".to_owned()),
        Some(end) if *end == wanted => {}
        Some(End { status, changed: Some(true) }) if *status == wanted.status => {
            breaks(Fault::Doubled, "it changed what was so already".to_owned());
        }
        Some(end) => breaks(Fault::Lost, format!("it is {end:?} in the books and should be {wanted:?}")),
    }
    for (who, told) in [
        ("the books' executions", &known.executions),
        ("the host's executions", &known.host_executions),
        ("the journal", &known.journal),
    ] {
        match told.as_slice() {
            [] => breaks(Fault::Lost, format!("{who} have no end of it")),
            [status] if *status == wanted.status => {}
            [status] => breaks(Fault::Lost, format!("{who} say {status} and should say {}", wanted.status)),
            several => breaks(Fault::Doubled, format!("{who} have {} ends of it", several.len())),
        }
    }
    breaches
}

/// How a VM must be once everything asked for has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub vm_id: String,
    /// None when it was deleted.
    pub state: Option<VmState>,
    /// How often it was halted and set going since its last boot.
    pub halted: usize,
    pub set_going: usize,
}

/// How it is, from the host alone: nobody who is judged was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// The hypervisors that run it.
    pub processes: Vec<u32>,
    /// What its hypervisor has told of itself since it was started.
    pub halted: usize,
    pub set_going: usize,
    /// Its run directory is there.
    pub directory: bool,
}

/// Judges one VM: run once or not at all, and each pause and resume done once.
pub fn vm(wanted: &Wanted, seen: &Seen) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let vm_id = &wanted.vm_id;
    let mut breaks =
        |fault, what: String| breaches.push(Breach { fault, what: format!("vm {vm_id}: {what}") });
    let runs = matches!(wanted.state, Some(VmState::Running | VmState::Paused));
    match seen.processes.as_slice() {
        [] if runs => breaks(Fault::Lost, "it has no process".to_owned()),
        [_] if runs => {}
        several if runs => breaks(Fault::Doubled, format!("processes {several:?} run it")),
        orphans => orphans.iter().for_each(|pid| breaks(Fault::Orphan, format!("process {pid} runs it"))),
    }
    if runs {
        for (what, wanted, seen) in
            [("halted", wanted.halted, seen.halted), ("set going", wanted.set_going, seen.set_going)]
        {
            let told = format!("it was {what} {seen} times in place of {wanted}");
            match seen.cmp(&wanted) {
                std::cmp::Ordering::Less => breaks(Fault::Lost, told),
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => breaks(Fault::Doubled, told),
            }
        }
    }
    match (wanted.state, seen.directory) {
        (None, true) => breaks(Fault::Leak, "its run directory is left".to_owned()),
        (Some(_), false) => breaks(Fault::Lost, "it has no run directory".to_owned()),
        (None, false) | (Some(_), true) => {}
    }
    breaches
}

/// Judges what is left once every VM was deleted.
pub fn left(processes: &[u32], things: &BTreeSet<String>) -> Vec<Breach> {
    let orphans = processes.iter().map(|pid| Breach { fault: Fault::Orphan, what: format!("process {pid}") });
    orphans.chain(things.iter().map(|what| Breach { fault: Fault::Leak, what: what.clone() })).collect()
}
