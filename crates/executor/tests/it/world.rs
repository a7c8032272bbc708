//! An executor with simulated VMs on a simulated disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nkudo_catalogue::AgentMetrics;
use nkudo_domain::{Action, ProviderKind};
use nkudo_executor::{Executor, ExecutorConfig, ExecutorError, Handle, Providers};
use nkudo_journal::{Disk, SimulatedDisk, replay_read_only};
use nkudo_metrics_core::Registry;
use nkudo_providers::simulated::{Simulated, SimulatedConfig};
use nkudo_supervision::Supervisor;
use nkudo_tracker::{Config, Record, Tracker};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) struct World {
    pub(crate) disk: SimulatedDisk,
    pub(crate) handle: Handle,
    pub(crate) stop: CancellationToken,
    pub(crate) run: JoinSet<Result<(), ExecutorError>>,
    dir: tempfile::TempDir,
}

impl World {
    /// An executor that is ready, on this disk.
    pub(crate) async fn on(disk: SimulatedDisk) -> Self {
        Self::within(disk, tempfile::tempdir().unwrap()).await
    }

    /// The next executor, after this one was killed and the disk lost power.
    pub(crate) async fn after_crash(self) -> Self {
        let Self { disk, mut run, dir, .. } = self;
        run.shutdown().await;
        Self::within(disk.crash(), dir).await
    }

    async fn within(disk: SimulatedDisk, dir: tempfile::TempDir) -> Self {
        let config = ExecutorConfig {
            state_dir: dir.path().to_owned(),
            tracker: Config { providers: vec![ProviderKind::Simulated], ..Config::default() },
            stop_wait: Duration::from_secs(5),
            free_bytes_min: 0,
        };
        let file = dir.path().join("simulated.jsonl");
        let simulated = Simulated::new(SimulatedConfig { file, memory_only: true });
        let providers = Providers(BTreeMap::from([(ProviderKind::Simulated, Arc::new(simulated) as _)]));
        let registry = Registry::new();
        let supervisor = Supervisor::new(&registry, "nkudo_", nkudo_host::clock::wall_ms);
        let (commands, mut mailbox) = supervisor.mailbox("executor", 16);
        let metrics = AgentMetrics::register(&registry);
        let (executor, handle) = Executor::new(
            config,
            providers,
            disk.clone(),
            metrics,
            supervisor.operations("executor"),
            commands,
        );
        let stop = CancellationToken::new();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let shutdown = stop.clone();
        let mut run = JoinSet::new();
        run.spawn(async move { executor.run(&mut mailbox, shutdown, move || ready.send(()).unwrap()).await });
        is_ready.await.unwrap();
        let world = Self { disk, handle, stop, run, dir };
        world.wait_for_state_file().await;
        world
    }

    /// From here on the disk is asked for nothing that a test did not cause.
    async fn wait_for_state_file(&self) {
        loop {
            let files = self.disk.list(self.dir.path()).unwrap_or_default();
            let before = self.disk.operations();
            tokio::time::sleep(Duration::from_millis(20)).await;
            if files.iter().any(|file| file == "edge-state.json") && before == self.disk.operations() {
                return;
            }
        }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }
}

/// What the tracker would know after this disk lost power now.
pub(crate) fn after_power_loss(disk: &SimulatedDisk, journal: &Path) -> Tracker {
    let replay = replay_read_only(&disk.crash(), journal).unwrap();
    let records: Vec<Record> =
        replay.records.iter().map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect();
    Tracker::replay(Config::default(), records)
}

/// An action on a simulated VM of its own.
pub(crate) fn create(number: u32) -> Action {
    parse(&create_body(number))
}

/// A create whose boot never ends.
pub(crate) fn hanging(number: u32) -> Action {
    faulty(number, &json!({"simulated.hang": "boot"}))
}

/// A create with these labels of the simulated provider.
pub(crate) fn faulty(number: u32, labels: &Value) -> Action {
    let mut body = create_body(number);
    body["params"]["labels"] = labels.clone();
    parse(&body)
}

/// A pause of the VM of another action.
pub(crate) fn pause(number: u32, of: &Action) -> Action {
    parse(&json!({"action_id": format!("pause-{number}"), "action_type": "MicroVMPause",
        "params": {"vm_id": of.request.vm_id()}, "timeout_seconds": 600}))
}

/// A delete of the VM of another action.
pub(crate) fn delete(of: &Action) -> Action {
    parse(
        &json!({"action_id": "delete", "action_type": "MicroVMDelete", "params": {"vm_id": of.request.vm_id()}}),
    )
}

fn create_body(number: u32) -> Value {
    json!({"action_id": format!("create-{number}"), "action_type": "MicroVMCreate", "params": {
        "vm_id": format!("01890a5d-ac96-774b-bcce-{number:012}"), "vm_name": format!("vm-{number}"), "vcpus": 1,
        "memory_bytes": 1 << 20, "kernel": "/dev/null", "provider": "simulated"}})
}

fn parse(body: &Value) -> Action {
    let origin = nkudo_api::action::Origin {
        action_id: "none".parse().unwrap(),
        trace_id: None,
        parent_span_id: None,
        correlation_id: None,
    };
    nkudo_api::action::parse(body, "", origin).unwrap()
}
