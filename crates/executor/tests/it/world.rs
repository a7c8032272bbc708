//! An executor with simulated VMs on a simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nkudo_api::view::{ActionView, VmView};
use nkudo_catalogue::AgentMetrics;
use nkudo_domain::{Action, ProviderKind, VmId, VmState};
use nkudo_executor::projection::vm_view;
use nkudo_executor::{Executor, ExecutorConfig, ExecutorError, Handle, Providers, Witness};
use nkudo_journal::{Disk, SimulatedDisk, replay_read_only};
use nkudo_metrics_core::Registry;
use nkudo_providers::Provider;
use nkudo_providers::simulated::{Simulated, SimulatedConfig};
use nkudo_supervision::Supervisor;
use nkudo_tracker::{Admission, Config, Record, Tracker};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a state is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) disk: SimulatedDisk,
    pub(crate) handle: Handle,
    pub(crate) stop: CancellationToken,
    pub(crate) run: JoinSet<Result<(), ExecutorError>>,
    host: Host,
}

/// What outlives an executor: a disk, and the VMs of a provider.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) disk: SimulatedDisk,
    pub(crate) provider: Option<Arc<dyn Provider>>,
    pub(crate) free_bytes_min: u64,
    pub(crate) stop_wait: Duration,
    /// Puts the actions on record.
    pub(crate) witness: Option<Arc<dyn Witness>>,
    dir: Arc<tempfile::TempDir>,
}

impl Host {
    pub(crate) fn new(disk: SimulatedDisk) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let provider = Some(simulated(dir.path()) as _);
        Self { disk, provider, free_bytes_min: 0, stop_wait: Duration::from_secs(5), witness: None, dir }
    }

    pub(crate) fn state_dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn providers(&self) -> Providers {
        Providers(self.provider.iter().map(|provider| (ProviderKind::Simulated, provider.clone())).collect())
    }

    /// Starts an executor and waits until it is ready, or until it fails.
    pub(crate) async fn start(self) -> Result<World, ExecutorError> {
        let config = ExecutorConfig {
            state_dir: self.state_dir().to_owned(),
            tracker: Config {
                providers: vec![ProviderKind::Simulated],
                commands_allow: ["/bin/sh", "/nowhere/at/all"].map(PathBuf::from).into(),
                ..Config::default()
            },
            stop_wait: self.stop_wait,
            free_bytes_min: self.free_bytes_min,
        };
        let registry = Registry::new();
        let supervisor = Supervisor::new(&registry, "nkudo_", nkudo_host::clock::wall_ms);
        let (commands, mut mailbox) = supervisor.mailbox("executor", 16);
        let metrics = AgentMetrics::register(&registry);
        let operations = supervisor.operations("executor");
        let (executor, handle) =
            Executor::new(config, self.providers(), self.disk.clone(), metrics, operations, commands);
        let executor = match self.witness.clone() {
            Some(witness) => executor.witnessed_by(witness),
            None => executor,
        };
        let stop = CancellationToken::new();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let shutdown = stop.clone();
        let mut run = JoinSet::new();
        run.spawn(async move { executor.run(&mut mailbox, shutdown, move || ready.send(()).unwrap()).await });
        if is_ready.await.is_err() {
            run.join_next().await.unwrap().unwrap()?;
        }
        let world = World { disk: self.disk.clone(), handle, stop, run, host: self };
        world.wait_for_state_file().await;
        Ok(world)
    }
}

fn simulated(dir: &Path) -> Arc<Simulated> {
    let file = dir.join("simulated.jsonl");
    Arc::new(Simulated::new(SimulatedConfig { file, memory_only: true }))
}

impl World {
    /// An executor that is ready, on this disk.
    pub(crate) async fn on(disk: SimulatedDisk) -> Self {
        Host::new(disk).start().await.unwrap()
    }

    /// An executor that is ready, on this disk, whose actions are put on record.
    pub(crate) async fn witnessed(disk: SimulatedDisk, witness: Arc<dyn Witness>) -> Self {
        let mut host = Host::new(disk);
        host.witness = Some(witness);
        host.start().await.unwrap()
    }

    /// The next executor, after this one was killed and the disk lost power; of its VMs none is left.
    pub(crate) async fn after_crash(self) -> Self {
        self.after_crash_witnessed(None).await
    }

    /// As [`World::after_crash`], and the next one's actions are put on record.
    pub(crate) async fn after_crash_witnessed(self, witness: Option<Arc<dyn Witness>>) -> Self {
        let mut host = self.killed().await;
        (host.disk, host.witness) = (host.disk.crash(), witness);
        host.provider = Some(simulated(host.state_dir()));
        host.start().await.unwrap()
    }

    /// The next executor, after this one was killed and something was done to its journal; of its VMs none is left.
    pub(crate) async fn after_damage(self, damage: impl FnOnce(&SimulatedDisk, &Path)) -> Self {
        let journal = self.journal();
        let mut host = self.killed().await;
        host.disk = host.disk.kill();
        damage(&host.disk, &journal);
        host.provider = Some(simulated(host.state_dir()));
        host.start().await.unwrap()
    }

    /// What is there once this executor was killed.
    pub(crate) async fn killed(self) -> Host {
        let Self { mut run, host, .. } = self;
        run.shutdown().await;
        host
    }

    /// Asks for an action and waits for its end.
    pub(crate) async fn done(&self, action: &Action) -> ActionView {
        assert_eq!(self.handle.submit(action.clone()).await, Ok(Admission::New));
        self.handle.wait(&action.action_id).await.unwrap().unwrap()
    }

    /// Waits until a VM is in this state, and answers it.
    pub(crate) async fn until_vm(&self, vm_id: VmId, state: VmState) -> VmView {
        let began = tokio::time::Instant::now();
        loop {
            let look = move |tracker: &Tracker| tracker.vm(vm_id).map(|vm| vm_view(vm, None));
            let seen = self.handle.look(look).await.unwrap();
            if let Some(vm) = seen.as_ref().filter(|vm| vm.state == state) {
                return vm.clone();
            }
            assert!(began.elapsed() < PATIENCE, "it should be {state}: {seen:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// From here on the disk is asked for nothing that a test did not cause.
    async fn wait_for_state_file(&self) {
        loop {
            let files = self.disk.list(self.host.state_dir()).unwrap_or_default();
            let before = self.disk.operations();
            tokio::time::sleep(Duration::from_millis(20)).await;
            if files.iter().any(|file| file == "edge-state.json") && before == self.disk.operations() {
                return;
            }
        }
    }

    pub(crate) fn state_file(&self) -> Option<String> {
        let bytes = self.disk.read_at(&self.host.state_dir().join("edge-state.json"), 0, u64::MAX).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// The room that is kept for the last records.
    pub(crate) fn ballast_bytes(&self) -> u64 {
        self.disk.length(&self.host.state_dir().join("journal.ballast")).unwrap_or_default()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.host.state_dir().join("journal")
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
        "params": {"vm_id": of.request.vm_id().unwrap()}, "timeout_seconds": 600}))
}

/// A delete of the VM of another action.
pub(crate) fn delete(of: &Action) -> Action {
    on("delete", "MicroVMDelete", of, &json!({}))
}

/// Something that is done to the VM of another action, with more parameters.
pub(crate) fn on(action_id: &str, action_type: &str, of: &Action, more: &Value) -> Action {
    let mut params = more.clone();
    params["vm_id"] = json!(of.request.vm_id().unwrap());
    parse(&json!({"action_id": action_id, "action_type": action_type, "params": params}))
}

/// A create with these parameters of its own.
pub(crate) fn create_with(number: u32, more: &Value) -> Action {
    let mut body = create_body(number);
    for (name, value) in more.as_object().unwrap() {
        body["params"][name] = value.clone();
    }
    parse(&body)
}

fn create_body(number: u32) -> Value {
    json!({"action_id": format!("create-{number}"), "action_type": "MicroVMCreate", "params": {
        "vm_id": format!("01890a5d-ac96-774b-bcce-{number:012}"), "vm_name": format!("vm-{number}"), "vcpus": 1,
        "memory_bytes": 1 << 20, "kernel": "/dev/null", "provider": "simulated"}})
}

pub(crate) fn parse(body: &Value) -> Action {
    let origin = nkudo_api::action::Origin {
        action_id: "none".parse().unwrap(),
        trace_id: None,
        parent_span_id: None,
        correlation_id: None,
    };
    nkudo_api::action::parse(body, "", origin).unwrap()
}
