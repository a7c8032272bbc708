//! What a durable action costs on this disk, for `cargo xtask bench actions`: an executor with simulated VMs in memory, so that
//! every sync is the journal's. Prints one JSON object a figure: `{"name", "unit", "figure"}`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nkudo_catalogue::AgentMetrics;
use nkudo_domain::{Action, ActionId, ActionStatus, Observation, ProviderKind, ResourceUsage};
use nkudo_executor::{Event, Executor, ExecutorConfig, Handle, Providers};
use nkudo_journal::{Journal, Options, RealDisk};
use nkudo_metrics_core::Registry;
use nkudo_providers::simulated::{Simulated, SimulatedConfig};
use nkudo_supervision::Supervisor;
use nkudo_tracker::{Admission, Config, DeedReport, Effect, Input, Now, Tracker};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Actions under way at once, each on a VM of its own.
const AT_ONCE: [u32; 4] = [1, 8, 64, 256];
/// How long each is measured.
const WINDOW: Duration = Duration::from_secs(4);
/// Records of the journal that is replayed.
const RECORDS: usize = 100_000;
/// Syncs of the disk alone, before each of them.
const SYNCS: usize = 200;
/// About what a record of these actions takes, in bytes.
const RECORD_BYTES: usize = 700;

#[tokio::main]
async fn main() {
    let mut floor = Vec::new();
    for at_once in AT_ONCE {
        // Before each, as the disk is not the same at all times.
        floor.extend(alone());
        actions(at_once).await;
    }
    tell("a record appended and synced, alone: p50", "us", permille(&mut floor, 500));
    tell("a record appended and synced, alone: p99", "us", permille(&mut floor, 990));
    replay().await;
}

fn tell(name: &str, unit: &str, figure: f64) {
    println!("{}", json!({"name": name, "unit": unit, "figure": figure}));
}

/// The figure that so many of a thousand do not exceed (nearest rank).
fn permille(figures: &mut [f64], of_thousand: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() * of_thousand).div_ceil(1_000).max(1) - 1]
}

/// The floor: how long one record takes to be appended and synced when nobody else asks the journal, in microseconds.
fn alone() -> Vec<f64> {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(RealDisk, dir.path(), Options::default()).unwrap();
    let mut sync = || {
        let began = Instant::now();
        journal.append(&[b'x'; RECORD_BYTES]).unwrap();
        journal.sync().unwrap();
        began.elapsed().as_secs_f64() * 1e6
    };
    (0..SYNCS).map(|_| sync()).collect()
}

/// An executor that runs on this directory, once it is ready; and how long that took.
async fn start(
    dir: &Path,
    run: &mut JoinSet<()>,
    parallel_max: usize,
) -> (Handle, CancellationToken, Duration) {
    let config = ExecutorConfig {
        state_dir: dir.to_owned(),
        tracker: Config { providers: vec![ProviderKind::Simulated], parallel_max, ..Config::default() },
        stop_wait: Duration::from_secs(5),
        free_bytes_min: 0,
    };
    let simulated = Simulated::new(SimulatedConfig { file: dir.join("simulated.jsonl"), memory_only: true });
    let providers = Providers(BTreeMap::from([(ProviderKind::Simulated, Arc::new(simulated) as _)]));
    let registry = Registry::new();
    let supervisor = Supervisor::new(&registry, "nkudo_", nkudo_host::clock::wall_ms);
    let (commands, mut mailbox) = supervisor.mailbox("executor", 256);
    let (metrics, operations) = (AgentMetrics::register(&registry), supervisor.operations("executor"));
    let (executor, handle) = Executor::new(config, providers, RealDisk, metrics, operations, commands);
    let stop = CancellationToken::new();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let shutdown = stop.clone();
    let began = Instant::now();
    run.spawn(async move {
        executor.run(&mut mailbox, shutdown, move || ready.send(()).unwrap()).await.unwrap();
    });
    is_ready.await.unwrap();
    (handle, stop, began.elapsed())
}

/// Pauses and resumes so many VMs at once, each as fast as its actions end.
async fn actions(at_once: u32) {
    let dir = tempfile::tempdir().unwrap();
    let mut run = JoinSet::new();
    let (handle, stop, _) = start(dir.path(), &mut run, 256).await;
    for number in 0..at_once {
        done(&handle, action(&format!("create-{number}"), number, "MicroVMCreate")).await;
    }
    let listener = handle.clone();
    let mut operators = JoinSet::new();
    let (asked, begun) = tokio::sync::mpsc::channel(100_000);
    let mut intending = JoinSet::new();
    intending.spawn(intents(listener, begun));
    let until = Instant::now() + WINDOW;
    let began = Instant::now();
    for number in 0..at_once {
        let (handle, asked) = (handle.clone(), asked.clone());
        operators.spawn(async move {
            let mut ended = 0_u32;
            while Instant::now() < until {
                let action_type = if ended.is_multiple_of(2) { "MicroVMPause" } else { "MicroVMResume" };
                let action = action(&format!("{number}-{ended}"), number, action_type);
                asked.send((action.action_id.clone(), Instant::now())).await.unwrap();
                done(&handle, action).await;
                ended += 1;
            }
            ended
        });
    }
    drop(asked);
    let ended: u32 = operators.join_all().await.into_iter().sum();
    let each_us = began.elapsed().as_secs_f64() * 1e6 / f64::from(ended);
    stop.cancel();
    run.join_all().await;
    drop(handle);
    let mut took = intending.join_next().await.unwrap().unwrap();
    tell(&format!("a durable action, {at_once} at once"), "us", each_us);
    tell(&format!("asked for to intent durable, {at_once} at once: p50"), "us", permille(&mut took, 500));
    tell(&format!("asked for to intent durable, {at_once} at once: p99"), "us", permille(&mut took, 990));
}

/// How long each action took from its being asked for until its deed was about to begin. What a slow listener missed is left
/// out.
async fn intents(handle: Handle, mut asked: tokio::sync::mpsc::Receiver<(ActionId, Instant)>) -> Vec<f64> {
    let mut events = handle.events();
    drop(handle);
    let (mut since, mut took) = (HashMap::new(), Vec::new());
    loop {
        // Both are cancel safe; an action is asked for before it can begin.
        tokio::select! {
            biased;
            Some((action_id, at)) = asked.recv() => drop(since.insert(action_id, at)),
            event = events.recv() => match event {
                Ok(Event::Action { view, .. }) if view.status == ActionStatus::Running => {
                    let at: Option<Instant> = since.remove(&view.action_id);
                    took.extend(at.map(|at| at.elapsed().as_secs_f64() * 1e6));
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return took,
            }
        }
    }
}

async fn done(handle: &Handle, action: Action) {
    let action_id = action.action_id.clone();
    assert_eq!(handle.submit(action).await, Ok(Admission::New));
    let view = handle.wait(&action_id).await.unwrap().unwrap();
    assert_eq!(view.status, ActionStatus::Success, "{view:?}");
}

/// A start over a journal of many records: from the call until the executor is ready.
async fn replay() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, asked) = write_journal(&dir.path().join("journal"));
    let mut run = JoinSet::new();
    let (handle, stop, took) = start(dir.path(), &mut run, 8).await;
    let known = handle.look(|tracker| tracker.actions().count()).await.unwrap();
    assert_eq!(known as u64, asked, "every action is known again");
    stop.cancel();
    run.join_all().await;
    tell("replay of 100,000 records until ready", "ms", took.as_secs_f64() * 1e3);
    tell("their journal", "MiB", f64::from(u32::try_from(bytes >> 10).unwrap()) / 1_024.0);
}

/// The records of a tracker that makes a VM, pauses and resumes it; three an action. Answers the journal's bytes and how many
/// actions that were.
fn write_journal(dir: &Path) -> (u64, u64) {
    let (mut journal, _) = Journal::open(RealDisk, dir, Options::default()).unwrap();
    let mut tracker = Tracker::new(Config { providers: vec![ProviderKind::Simulated], ..Config::default() });
    let now = Now { monotonic_ms: 1, boottime_ms: 1, wall_ms: nkudo_host::clock::wall_ms() };
    let mut inputs = vec![Input::Recovered { found: Vec::new() }];
    let (mut written, mut asked) = (0, 0);
    while written < RECORDS {
        let Some(input) = inputs.pop() else {
            let action_type = ["MicroVMCreate", "MicroVMPause", "MicroVMResume"][match asked {
                0 => 0,
                odd if odd % 2 == 1 => 1,
                _ => 2,
            }];
            let action = Box::new(action(&format!("action-{asked}"), 0, action_type));
            asked += 1;
            inputs.push(Input::Submit { ticket: asked, action });
            continue;
        };
        for effect in tracker.step(input, now) {
            match effect {
                Effect::Persist { seq, record } => {
                    journal.append(&serde_json::to_vec(&record).unwrap()).unwrap();
                    written += 1;
                    inputs.push(Input::Persisted(seq));
                }
                Effect::Perform { action_id, attempt, work } => {
                    let paused = work.deed == nkudo_domain::Deed::Pause;
                    let observation = if paused { Observation::Paused } else { Observation::Running };
                    let usage = ResourceUsage::default();
                    let report = DeedReport { result: Ok(()), observation, usage, jitter_permille: 0 };
                    inputs.push(Input::DeedEnded { action_id, attempt, report });
                }
                _ => {}
            }
        }
        inputs.sort_by_key(|input| std::cmp::Reverse(matches!(input, Input::Persisted(_))));
    }
    journal.sync().unwrap();
    (journal.bytes(), asked)
}

fn action(action_id: &str, vm: u32, action_type: &str) -> Action {
    let vm_id = format!("01890a5d-ac96-774b-bcce-{vm:012}");
    let mut params = json!({"vm_id": vm_id});
    if action_type == "MicroVMCreate" {
        params = json!({"vm_id": vm_id, "vm_name": format!("vm-{vm}"), "vcpus": 1, "memory_bytes": 1 << 20,
            "kernel": "/dev/null", "provider": "simulated"});
    }
    let body: Value =
        json!({"action_id": action_id, "action_type": action_type, "params": params, "timeout_seconds": 600});
    let origin = nkudo_api::action::Origin {
        action_id: action_id.parse().unwrap(),
        trace_id: None,
        parent_span_id: None,
        correlation_id: None,
    };
    nkudo_api::action::parse(&body, "", origin).unwrap()
}
