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
    fn end(self) -> (&'static str, bool) {
        match self {
            Self::Done => ("success", true),
            Self::Unchanged => ("success", false),
            Self::Refused => ("failure", false),
        }
    }
}

/// How an action ended, as somebody tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub status: String,
    pub changed: Option<bool>,
    pub error: Option<String>,
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
    let (status, changed) = expected.end();
    match &known.in_books {
        None => breaks(Fault::Lost, "it is not in the books".to_owned()),
        Some(end) if end.status == status && end.changed == Some(changed) => {}
        Some(end) if end.status == status && end.changed == Some(true) => {
            breaks(Fault::Doubled, "it changed what was so already".to_owned());
        }
        Some(end) => breaks(Fault::Lost, format!("it is {end:?} in the books and should be {expected:?}")),
    }
    breaches.extend(written(action_id, status, known));
    breaches
}

/// Judges what is written of the end of an action, besides the books' entry of it: everywhere once, and as this status.
fn written(action_id: &str, wanted: &str, known: &Known) -> Vec<Breach> {
    let told = [
        ("the books' executions", &known.executions),
        ("the host's executions", &known.host_executions),
        ("the journal", &known.journal),
    ];
    let judge = |(who, told): (&str, &Vec<String>)| {
        let (fault, what) = match told.as_slice() {
            [] => (Fault::Lost, format!("{who} have no end of it")),
            [status] if *status == wanted => return None,
            [status] => (Fault::Lost, format!("{who} say {status} and should say {wanted}")),
            several => (Fault::Doubled, format!("{who} have {} ends of it", several.len())),
        };
        Some(Breach { fault, what: format!("{action_id}: {what}") })
    };
    told.into_iter().filter_map(judge).collect()
}

/// How often a command wrote that it began, and that it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ran {
    pub began: usize,
    pub ended: usize,
}

/// Judges one command: run at most once, told as done only when it was done to its end, and else as one of which nobody knows,
/// because it was killed with its agent.
pub fn command(action_id: &str, ran: Ran, known: &Known) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut breaks =
        |fault, what: String| breaches.push(Breach { fault, what: format!("{action_id}: {what}") });
    if ran.began > 1 || ran.ended > 1 {
        breaks(Fault::Doubled, format!("it was run {} times", ran.began.max(ran.ended)));
    }
    let Some(end) = &known.in_books else {
        breaks(Fault::Lost, "it is not in the books".to_owned());
        return breaches;
    };
    let unknown = end.error.as_deref() == Some("interrupted, outcome unknown");
    match end.status.as_str() {
        "success" if ran.began == 1 && ran.ended == 1 => {}
        "success" => breaks(Fault::Lost, format!("it is told as done, and {ran:?}")),
        "failure" if unknown => {}
        _ => breaks(Fault::Lost, format!("it is {end:?} in the books")),
    }
    breaches.extend(written(action_id, &end.status, known));
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
