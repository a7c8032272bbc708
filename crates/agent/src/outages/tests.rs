use nkudo_catalogue::AgentMetrics;
use nkudo_domain::OutageCause;
use nkudo_metrics_core::Registry;
use nkudo_supervision::{ComponentSpec, Supervisor};
use std::sync::Arc;

use super::*;

/// A daemon's ledger, with the part that writes it.
struct Daemon {
    outages: Arc<Outages>,
    supervisor: Supervisor,
}

impl Daemon {
    async fn start(state_dir: &Path) -> Self {
        let registry = Registry::new();
        let metrics = AgentMetrics::register(&registry).outages;
        let outages = Arc::new(Outages::open(state_dir.to_owned(), metrics).await);
        let supervisor = Supervisor::new(&registry, "test_", clock::wall_ms);
        let part = Arc::clone(&outages);
        supervisor.start(ComponentSpec::new("outages"), move |context| {
            let part = Arc::clone(&part);
            async move {
                part.run(&context).await;
                Ok(())
            }
        });
        Self { outages, supervisor }
    }

    async fn stop(self) {
        assert!(self.supervisor.shutdown(Duration::from_secs(5)).await.is_empty());
    }

    /// Everything that was said is on disk.
    async fn written(&self) {
        loop {
            {
                let state = self.outages.state();
                let last_seq = state.ledger.as_ref().map(Ledger::last_seq);
                if last_seq == Some(state.durable_seq) && state.unwritten.is_empty() && state.file.is_some() {
                    return;
                }
            }
            // Lets a clock that is paused go on.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn causes(&self) -> Vec<OutageCause> {
        self.outages.since(i64::MIN).into_iter().map(|outage| outage.cause).collect()
    }
}

fn agent() -> AgentId {
    "00000001-0000-7000-8000-000000000000".parse().unwrap()
}

fn told(outages: &Outages, after: u64) -> Vec<u64> {
    let told = outages.untold(agent(), after);
    told.map_or_else(Vec::new, |told| told.outages.into_iter().map(|(seq, _)| seq).collect())
}

/// The only segment of a ledger.
fn segment(state_dir: &Path) -> PathBuf {
    let entries = std::fs::read_dir(state_dir.join(DIR)).unwrap().flatten().map(|entry| entry.path());
    let mut segments: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.remove(0)
}

#[tokio::test]
async fn a_life_leaves_its_outages_and_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    assert_eq!(daemon.causes(), [], "the first life follows none");
    daemon.outages.enrolled(Some(agent()));
    daemon.outages.failed(Failure::Name, "DNS: no such name");
    assert_eq!(daemon.outages.last().unwrap().ended_at, None, "it lasts");
    assert_eq!(told(&daemon.outages, 0), [0_u64; 0], "what lasts is not told");
    daemon.outages.heard();
    daemon.written().await;
    assert_eq!(told(&daemon.outages, 0), [1]);
    daemon.stop().await;

    let offline = OfflineOutages::read(dir.path(), i64::MIN).unwrap();
    let shown: Vec<_> = offline.outages.iter().map(|one| (one.cause, one.ended_at.is_some())).collect();
    assert_eq!(shown, [(OutageCause::Stopped, false), (OutageCause::Link, true)]);
    assert_eq!(offline.last().unwrap().evidence, "DNS: no such name", "a stop is no fault");
    assert_eq!(offline.lacking, None);

    let daemon = Daemon::start(dir.path()).await;
    assert_eq!(daemon.causes(), [OutageCause::Stopped, OutageCause::Link]);
    daemon.outages.ends_for("executor failed for good: the disk is gone".to_owned());
    daemon.stop().await;
    let daemon = Daemon::start(dir.path()).await;
    let last = daemon.outages.last().unwrap();
    assert_eq!((last.cause, last.evidence.starts_with("executor failed")), (OutageCause::Crash, true));
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_not_on_disk_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = AgentMetrics::register(&Registry::new()).outages;
    let outages = Outages::open(dir.path().to_owned(), metrics).await;
    outages.enrolled(Some(agent()));
    outages.failed(Failure::Closed, "closed");
    outages.heard();
    assert_eq!(outages.since(i64::MIN).len(), 1, "it is shown");
    assert_eq!(told(&outages, 0), [0_u64; 0]);
    // Nobody wrote: the next life knows nothing of it.
    drop(outages);
    let daemon = Daemon::start(dir.path()).await;
    assert_eq!(daemon.causes(), []);
    daemon.stop().await;
}

#[tokio::test]
async fn a_ledger_that_is_cut_or_flipped_is_told_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    daemon.outages.enrolled(Some(agent()));
    for _ in 0..3 {
        daemon.outages.failed(Failure::Closed, "closed");
        daemon.outages.heard();
    }
    daemon.written().await;
    daemon.stop().await;
    let whole = std::fs::read(segment(dir.path())).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let (end, middle) = (whole.len(), whole.len() / 2);
    let damaged = [
        ("cut in its last record", whole[..end - 3].to_vec()),
        ("cut in its middle", whole[..middle].to_vec()),
        ("cut in its head", whole[..10].to_vec()),
        ("flipped at its end", flipped(end - 1)),
        ("flipped in its middle", flipped(middle)),
        ("flipped in its head", flipped(9)),
        ("not a journal", b"{\"outages\": []}, and more than a head of one".to_vec()),
    ];
    for (name, bytes) in damaged {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(DIR)).unwrap();
        std::fs::write(dir.path().join(DIR).join("00000000000000000001.seg"), &bytes).unwrap();
        let offline = OfflineOutages::read(dir.path(), i64::MIN).unwrap();
        assert!(offline.lacking.is_some(), "{name}: a look tells it too");
        let daemon = Daemon::start(dir.path()).await;
        assert!(daemon.outages.state().loss.is_some(), "{name}");
        let before = daemon.causes();
        assert!(before.len() <= 4, "{name}: {before:?}");
        daemon.outages.enrolled(Some(agent()));
        daemon.outages.failed(Failure::Name, "no name");
        daemon.outages.heard();
        daemon.written().await;
        assert_eq!(daemon.causes().len(), before.len() + 1, "{name}");
        daemon.stop().await;
        let again = OfflineOutages::read(dir.path(), i64::MIN).unwrap();
        assert_eq!(again.outages[1].evidence, "no name", "{name}: {again:?}");
    }
}

#[tokio::test]
async fn a_ledger_without_what_was_acknowledged_is_told_once_and_goes_on_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    daemon.outages.enrolled(Some(agent()));
    for _ in 0..2 {
        daemon.outages.failed(Failure::Closed, "closed");
        daemon.outages.heard();
    }
    daemon.written().await;
    let name = daemon.outages.state().ledger.as_ref().map(|ledger| ledger.id().to_owned()).unwrap();
    daemon.outages.acknowledged(&name, 2);
    daemon.written().await;
    let snapshot = daemon.outages.state().ledger.as_ref().map(Ledger::snapshot).unwrap();
    daemon.stop().await;
    let mut file = LedgerFile::open(&dir.path().join(DIR)).unwrap().file;
    // As after a cut between two records: the name, what was acknowledged, the first outage.
    file.write_anew(&snapshot[..3]).unwrap();
    drop(file);
    let offline = OfflineOutages::read(dir.path(), i64::MIN).unwrap();
    assert_eq!(offline.lacking.unwrap(), "records at its end are missing");

    let daemon = Daemon::start(dir.path()).await;
    assert!(daemon.outages.state().loss.is_some());
    daemon.outages.enrolled(Some(agent()));
    daemon.outages.failed(Failure::Closed, "closed");
    daemon.outages.heard();
    daemon.written().await;
    assert_eq!(told(&daemon.outages, 0), [2]);
    assert_ne!(daemon.outages.untold(agent(), 0).unwrap().ledger_id, name);
    daemon.stop().await;
    assert_eq!(OfflineOutages::read(dir.path(), i64::MIN).unwrap().lacking, None);
}

#[tokio::test]
async fn records_of_a_later_version_are_passed_over_and_told() {
    let dir = tempfile::tempdir().unwrap();
    Daemon::start(dir.path()).await.stop().await;
    let (mut journal, _) =
        nkudo_journal::Journal::open(nkudo_journal::RealDisk, &dir.path().join(DIR), Default::default())
            .unwrap();
    journal.append(br#"{"record": "meteorite", "size": 3}"#).unwrap();
    journal.sync().unwrap();
    let offline = OfflineOutages::read(dir.path(), i64::MIN).unwrap();
    assert_eq!(offline.lacking.unwrap(), "1 records are not understood");
    assert_eq!(offline.outages[0].cause, OutageCause::Stopped);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_goes_on_in_memory_and_is_written_whole_later() {
    let dir = tempfile::tempdir().unwrap();
    // A file stands where the directory is to be.
    std::fs::write(dir.path().join(DIR), "").unwrap();
    let daemon = Daemon::start(dir.path()).await;
    daemon.outages.heard();
    assert_eq!(daemon.causes(), [], "nothing is known without the past");
    assert!(OfflineOutages::read(dir.path(), 0).is_err());
    std::fs::remove_file(dir.path().join(DIR)).unwrap();
    tokio::time::pause();
    daemon.written().await;
    tokio::time::resume();
    daemon.outages.enrolled(Some(agent()));
    daemon.outages.failed(Failure::Closed, "closed");
    daemon.outages.heard();
    daemon.written().await;
    // Its file is lost to the program: it is written anew.
    drop(daemon.outages.state().file.take());
    daemon.outages.failed(Failure::Name, "no name");
    daemon.outages.heard();
    daemon.written().await;
    daemon.stop().await;
    let offline = OfflineOutages::read(dir.path(), i64::MIN).unwrap();
    let causes: Vec<_> = offline.outages.iter().map(|outage| outage.cause).collect();
    assert_eq!(causes, [OutageCause::Stopped, OutageCause::Link, OutageCause::ControlPlane]);
}

#[tokio::test]
async fn the_file_stays_within_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path()).await;
    daemon.outages.enrolled(Some(agent()));
    let mut longest = 0;
    for _ in 0..40 {
        for _ in 0..100 {
            daemon.outages.failed(Failure::Closed, "closed");
            daemon.outages.heard();
        }
        daemon.written().await;
        longest = longest.max(std::fs::metadata(segment(dir.path())).unwrap().len());
    }
    assert_eq!(daemon.causes().len(), 1_000);
    // A thousand outages take some 330 bytes each, and may be there three times.
    assert!(longest < 3 * 350 * 1_000, "{longest}");
    daemon.stop().await;
}
