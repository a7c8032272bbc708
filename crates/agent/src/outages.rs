//! Why this host was away from its control plane: the ledger that `nkudo_fleet` keeps, on disk and in words.
//!
//! The link says what it meets, the part that runs here looks at the clocks and writes down what became known. It is told
//! to the control plane only when it is on disk, so that its number is given once. Where the disk fails the ledger goes
//! on in memory, and is written whole when the disk works again.

mod file;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nkudo_api::view::outage::OutageView;
use nkudo_catalogue::OutageMetrics;
use nkudo_domain::AgentId;
use nkudo_fleet::outage::{Beginning, Failure, Ledger, Moment, Outage, Record};
use nkudo_host::clock;
use nkudo_journal::JournalError;
use nkudo_rpc::message::{OUTAGES_MAX, Outages as Told};
use nkudo_supervision::{Context, Health, Operation};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::file::{LedgerFile, Opened};
use crate::identity::IdentityDir;
use crate::link::told;
use crate::offline::OfflineError;
use crate::state_dir::StateDir;

/// The directory within the state directory.
const DIR: &str = "outages";
/// How often the clocks are looked at: how late a sleep of the host is told.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How soon a ledger that could not be written is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(5);

/// Where outages begin to be shown when nobody says since when: a day ago.
pub fn since_default(now_ms: i64) -> i64 {
    now_ms.saturating_sub(24 * 3_600 * 1_000)
}

/// The ledger of a running daemon.
#[derive(Debug)]
pub(crate) struct Outages {
    dir: PathBuf,
    boot_id: String,
    began: Moment,
    metrics: OutageMetrics,
    state: Mutex<State>,
    /// Something is to be written.
    due: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// None until its file could be read.
    ledger: Option<Ledger>,
    /// Where it is written; none while the part has it, or while it cannot be.
    file: Option<LedgerFile>,
    agent_id: Option<AgentId>,
    unwritten: Vec<Record>,
    /// Up to this number all outages are on disk.
    durable_seq: u64,
    /// What of the file could not be read, until it was told.
    loss: Option<String>,
    /// Why the daemon ends, where nobody asked it to.
    fault: Option<String>,
}

impl Outages {
    /// Reads what is on disk, and begins. Without a file that can be read the part tries again.
    pub(crate) async fn open(state_dir: PathBuf, metrics: OutageMetrics) -> Self {
        let opened = tokio::task::spawn_blocking(move || Self::open_now(&state_dir, metrics)).await;
        match opened {
            Ok(outages) => outages,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// None that is kept: as long as the part does not run, nothing is.
    pub(crate) fn unkept(state_dir: &Path, metrics: OutageMetrics) -> Self {
        Self {
            dir: state_dir.join(DIR),
            // Without it every start looks like one of the same boot.
            boot_id: clock::boot_id().unwrap_or_default(),
            began: moment(),
            metrics,
            state: Mutex::default(),
            due: Notify::new(),
        }
    }

    fn open_now(state_dir: &Path, metrics: OutageMetrics) -> Self {
        let outages = Self::unkept(state_dir, metrics);
        // An identity that cannot be read is told by the link.
        let identity = IdentityDir::of(state_dir).load().ok().flatten();
        outages.state().agent_id = identity.map(|identity| identity.agent_id);
        match LedgerFile::open(&outages.dir) {
            Ok(opened) => outages.begin(opened),
            Err(error) => {
                tracing::warn!(reason = told(&error), "the ledger of outages cannot be opened; trying again");
            }
        }
        outages
    }

    fn begin(&self, opened: Opened) {
        let Opened { file, ledger, loss } = opened;
        let mut state = self.state();
        let beginning = Beginning {
            at: self.began,
            boot_id: self.boot_id.clone(),
            agent_id: state.agent_id,
            fresh_id: uuid::Uuid::now_v7().to_string(),
            damaged: loss.is_some(),
        };
        // What was there was told with the life in which it ended.
        state.durable_seq = ledger.last_seq();
        (state.file, state.ledger, state.loss) = (Some(file), Some(ledger), loss);
        self.change(state, |ledger| ledger.begin(beginning));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the ledger take something, and has what became of it written down.
    fn change(&self, mut state: MutexGuard<'_, State>, change: impl FnOnce(&mut Ledger) -> Vec<Record>) {
        let Some(ledger) = &mut state.ledger else { return };
        let records = change(ledger);
        if records.is_empty() {
            return;
        }
        self.metrics.dropped(ledger.dropped());
        for record in &records {
            if let Record::Over { entry, .. } = record {
                let Outage { cause, evidence, duration_ms, .. } = &entry.outage;
                self.metrics.over(*cause, *duration_ms);
                tracing::info!(%cause, duration_ms, evidence, "an outage is over");
            }
        }
        state.unwritten.extend(records);
        drop(state);
        self.due.notify_one();
    }
}

/// What the link says and asks.
impl Outages {
    /// Who the host is; to be said often.
    pub(crate) fn enrolled(&self, agent_id: Option<AgentId>) {
        let mut state = self.state();
        state.agent_id = agent_id;
        self.change(state, |ledger| ledger.enrolled(moment(), agent_id));
    }

    /// The control plane was heard.
    pub(crate) fn heard(&self) {
        self.change(self.state(), |ledger| ledger.heard(moment()));
    }

    /// A try to reach it failed, or the link ended.
    pub(crate) fn failed(&self, failure: Failure, evidence: &str) {
        self.change(self.state(), |ledger| ledger.failed(moment(), failure, evidence));
    }

    /// What this agent's control plane has not acknowledged after `after`, as far as it is on disk.
    pub(crate) fn untold(&self, agent_id: AgentId, after: u64) -> Option<Told> {
        let state = self.state();
        let ledger = state.ledger.as_ref()?;
        let mut entries = ledger.untold(agent_id, after, OUTAGES_MAX);
        entries.retain(|entry| entry.seq <= state.durable_seq);
        let last_seq = entries.last()?.seq;
        let outages = entries.into_iter().map(|entry| (entry.seq, entry.outage)).collect();
        Some(Told { ledger_id: ledger.id().to_owned(), outages, last_seq, not_understood: 0 })
    }

    pub(crate) fn acknowledged(&self, ledger_id: &str, seq: u64) {
        self.change(self.state(), |ledger| ledger.acknowledged(ledger_id, seq));
    }

    /// A part failed for good: that is why the daemon is about to end.
    pub(crate) fn ends_for(&self, fault: String) {
        self.state().fault = Some(fault);
    }
}

/// What is shown.
impl Outages {
    /// Those that ended then or later, the last first.
    pub(crate) fn since(&self, since_ms: i64) -> Vec<OutageView> {
        let state = self.state();
        state.ledger.as_ref().map_or_else(Vec::new, |ledger| views(ledger, moment(), since_ms))
    }

    /// The one that lasts, or else the last one; none that was wanted.
    pub(crate) fn last(&self) -> Option<OutageView> {
        self.since(i64::MIN).into_iter().find(|outage| outage.cause.is_fault())
    }
}

fn views(ledger: &Ledger, now: Moment, since_ms: i64) -> Vec<OutageView> {
    let open = ledger.gap().map(|gap| OutageView::lasting(gap.until(now)));
    let over = ledger.outages().rev().map(|entry| OutageView::from(entry.outage.clone()));
    let since = |view: &OutageView| view.ended_at.is_none_or(|ended_at| ended_at.0 >= since_ms);
    open.into_iter().chain(over).filter(since).collect()
}

/// The outages of a host whose daemon is down.
#[derive(Debug, Default)]
pub struct OfflineOutages {
    /// The last first; that nobody runs is the first of them.
    pub outages: Vec<OutageView>,
    /// What could not be read, in words.
    pub lacking: Option<String>,
}

impl OfflineOutages {
    /// Reads the files of a host whose daemon is down. Alters nothing.
    ///
    /// # Errors
    /// When somebody works on the directory, or it cannot be read.
    pub fn read(state_dir: &Path, since_ms: i64) -> Result<Self, OfflineError> {
        let dir = StateDir::shared(state_dir)?.path().join(DIR);
        let failed = |source: JournalError| OfflineError::Outages { dir: dir.display().to_string(), source };
        let (ledger, lacking) = file::read(&dir).map_err(failed)?;
        let now = moment();
        let absence = ledger.absence(now, &clock::boot_id().unwrap_or_default()).map(OutageView::lasting);
        let outages = absence.into_iter().chain(views(&ledger, now, since_ms)).collect();
        Ok(Self { outages, lacking })
    }

    /// The last that was not wanted.
    pub fn last(&self) -> Option<&OutageView> {
        self.outages.iter().find(|outage| outage.cause.is_fault())
    }
}

/// The part.
impl Outages {
    /// Looks at the clocks and writes until shutdown; says then that the daemon ends in order.
    pub(crate) async fn run(&self, context: &Context) {
        let mut ticks = interval(LOOK_INTERVAL);
        // A look tells all that came to pass since the one before.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut again_at = Instant::now();
        loop {
            // Each is cancel safe: what is due stays due.
            tokio::select! {
                () = context.shutdown.cancelled() => break,
                _ = ticks.tick() => self.look(),
                () = self.due.notified() => {}
            }
            if Instant::now() >= again_at && !self.write(context).await {
                again_at = Instant::now() + WRITE_AGAIN;
            }
            context.health.progress();
        }
        self.end();
        self.write(context).await;
    }

    fn end(&self) {
        let state = self.state();
        let fault = state.fault.clone();
        self.change(state, |ledger| ledger.end(moment(), fault.as_deref()));
    }

    fn look(&self) {
        self.change(self.state(), |ledger| ledger.look(moment()));
    }

    /// Writes what is unwritten; says whether that went well.
    async fn write(&self, context: &Context) -> bool {
        let Some(work) = self.work() else { return true };
        let began = Instant::now();
        let written = tokio::task::spawn_blocking(move || work.perform()).await;
        let written = match written {
            Ok(written) => written,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The program ends.
                Err(_) => return false,
            },
        };
        context.operations.ended(Operation::FileWrite, 0, began.elapsed(), written.is_ok());
        let loss = match written {
            Ok(Written::Opened(opened)) => {
                self.begin(*opened);
                self.state().loss.take()
            }
            Ok(Written::Records { file, last_seq }) => {
                let mut state = self.state();
                state.file = Some(file);
                state.durable_seq = last_seq;
                state.loss.take()
            }
            Err(error) => {
                let sentence = told(&error);
                tracing::warn!(
                    reason = sentence,
                    "why this host was away cannot be written down; trying again"
                );
                context.health.error("write");
                context.health.set(Health::Degraded(sentence));
                return false;
            }
        };
        if let Some(loss) = loss {
            tracing::warn!(reason = loss, "the ledger of outages has lost something");
            context.health.error("loss");
        }
        context.health.set(Health::Healthy);
        true
    }

    /// What is to be done now.
    fn work(&self) -> Option<Work> {
        let dir = self.dir.clone();
        let state = &mut *self.state();
        let Some(ledger) = &state.ledger else { return Some(Work::Open { dir }) };
        let last_seq = ledger.last_seq();
        match state.file.take() {
            Some(file) if state.unwritten.is_empty() => {
                state.file = Some(file);
                None
            }
            Some(file) if !file.is_long() => {
                Some(Work::Append { file, records: std::mem::take(&mut state.unwritten), last_seq })
            }
            file => {
                state.unwritten.clear();
                Some(Work::Anew { file, dir, snapshot: ledger.snapshot(), last_seq })
            }
        }
    }
}

/// Something to do with the disk, which may take its time.
enum Work {
    Open {
        dir: PathBuf,
    },
    /// The whole ledger, in the place of what is there.
    Anew {
        file: Option<LedgerFile>,
        dir: PathBuf,
        snapshot: Vec<Record>,
        last_seq: u64,
    },
    Append {
        file: LedgerFile,
        records: Vec<Record>,
        last_seq: u64,
    },
}

enum Written {
    Opened(Box<Opened>),
    Records { file: LedgerFile, last_seq: u64 },
}

impl Work {
    fn perform(self) -> Result<Written, JournalError> {
        match self {
            Self::Open { dir } => Ok(Written::Opened(Box::new(LedgerFile::open(&dir)?))),
            Self::Anew { file, dir, snapshot, last_seq } => {
                let mut file = match file {
                    Some(file) => file,
                    None => LedgerFile::open(&dir)?.file,
                };
                file.write_anew(&snapshot)?;
                Ok(Written::Records { file, last_seq })
            }
            Self::Append { mut file, records, last_seq } => {
                file.append(&records)?;
                Ok(Written::Records { file, last_seq })
            }
        }
    }
}

/// The clocks now.
fn moment() -> Moment {
    Moment {
        wall_ms: clock::wall_ms(),
        boottime_ms: clock::boottime_ms(),
        monotonic_ms: clock::monotonic_ms(),
    }
}

#[cfg(test)]
mod tests;
