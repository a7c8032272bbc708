//! An agent inside another program: executor and link without signals, ports, socket, measurements and a ledger of outages, so that many run
//! in one process. For load and for simulations.
//!
//! **Invariant:** it has no audit log.
//!
//! **Invariant:** each holds one blocking thread of its runtime, for its journal, as long as it runs. A runtime for many
//! has to allow as many (`max_blocking_threads`); an agent beyond links, and never answers an action.

use std::sync::Arc;
use std::time::Duration;

use nkudo_catalogue::AgentMetrics;
use nkudo_domain::ProviderKind;
use nkudo_executor::{Executor, Handle, Providers};
use nkudo_host::clock;
use nkudo_journal::RealDisk;
use nkudo_metrics_core::Registry;
use nkudo_providers::simulated::{Simulated, SimulatedConfig};
use nkudo_supervision::{ComponentSpec, Supervisor};
use tokio::sync::Mutex;

use crate::audit::Audit;
use crate::config::Settings;
use crate::daemon::EXECUTOR_MAILBOX_MAX;
use crate::link::{Link, Standing};
use crate::offline::executor_config;
use crate::outages::Outages;
use crate::state_dir::{StateDir, StateDirError};

/// How long its parts may take to end.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// A running agent with simulated VMs that live in memory.
#[derive(Debug)]
pub struct Embedded {
    supervisor: Supervisor,
    registry: Registry,
    handle: Handle,
    _dir: StateDir,
}

impl Embedded {
    /// Starts an agent on a state directory; whether that is enrolled or not.
    ///
    /// # Errors
    /// When the directory cannot be used, or another agent has it.
    pub async fn start(settings: &Settings) -> Result<Self, StateDirError> {
        let dir = StateDir::exclusive(&settings.state_dir).await?;
        let registry = Registry::new();
        let metrics = AgentMetrics::register(&registry);
        let supervisor = Supervisor::new(&registry, nkudo_catalogue::PREFIX, clock::wall_ms);
        let (commands, mailbox) = supervisor.mailbox("executor", EXECUTOR_MAILBOX_MAX);
        let config = executor_config(settings);
        let (executor, handle) = Executor::new(
            config,
            in_memory(),
            RealDisk,
            metrics.clone(),
            supervisor.operations("executor"),
            commands,
        );
        let link = Arc::new(Link {
            state_dir: settings.state_dir.clone(),
            audit: Audit::nowhere(),
            executor: handle.clone(),
            supervisor: supervisor.clone(),
            outages: Arc::new(Outages::unkept(&settings.state_dir, metrics.outages.clone())),
            metrics,
            standing: Arc::new(Standing::default()),
            recorder: None,
            logs: None,
        });
        supervisor.start(ComponentSpec::new("link"), move |context| {
            let link = Arc::clone(&link);
            async move {
                link.run(&context).await;
                Ok(())
            }
        });
        let (executor, mailbox) = (Arc::new(executor), Arc::new(Mutex::new(mailbox)));
        supervisor.start(ComponentSpec::new("executor"), move |context| {
            let (executor, mailbox) = (Arc::clone(&executor), Arc::clone(&mailbox));
            async move {
                let mut mailbox = mailbox.lock().await;
                Ok(Box::pin(executor.run(&mut mailbox, context.shutdown.clone(), || ())).await?)
            }
        });
        Ok(Self { supervisor, registry, handle, _dir: dir })
    }

    /// What it exposes; whoever embeds it may register more.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where actions are asked for.
    pub fn executor(&self) -> &Handle {
        &self.handle
    }

    /// Says goodbye and ends.
    pub async fn stop(self) {
        let hung = self.supervisor.shutdown(STOP_WAIT).await;
        if !hung.is_empty() {
            tracing::warn!(parts = hung.join(","), "an embedded agent did not end in time");
        }
    }
}

fn in_memory() -> Providers {
    let config = SimulatedConfig { file: std::path::PathBuf::new(), memory_only: true };
    let simulated: Arc<dyn nkudo_providers::Provider> = Arc::new(Simulated::new(config));
    Providers([(ProviderKind::Simulated, simulated)].into())
}
