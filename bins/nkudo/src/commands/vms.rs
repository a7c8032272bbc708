//! `vms`.

use nkudo_api::view::VmView;
use nkudo_domain::{AgentId, VmId};
use nkudo_terminal::Failure;
use nkudo_terminal::print::{bytes, or_dash};
use serde_json::json;

use crate::cli::{Deed, VmCommand, VmDeed, VmFilter, Vms};
use crate::list::{self, Row, unexpected};
use crate::query::Query;
use crate::session::Session;
use crate::submit;

const PATH: &str = "/v1/vms";

pub(crate) async fn run(session: &Session, vms: Vms) -> Result<(), Failure> {
    match vms.command {
        None => all(session, vms.filter).await,
        Some(VmCommand::List(filter)) => all(session, filter).await,
        Some(VmCommand::Show { vm_id, agent }) => {
            let vm = session.get(&Query::new(PATH).segment(&vm_id).with("agent_id", agent.as_ref())).await?;
            list::one::<VmRow>(session.output, &vm)
        }
        Some(VmCommand::Create(create)) => {
            let action = match &create.file {
                Some(file) => submit::create(file)?,
                None => submit::action(("MicroVMCreate", create.flags.params()))?,
            };
            submit::run(session, create.agent, vec![action], &create.waiting).await
        }
        Some(VmCommand::Start(deed)) => {
            let asked = ("MicroVMStart", json!({ "vm_id": deed.vm_id }));
            ask(session, &deed, asked).await
        }
        Some(VmCommand::Stop { deed, grace_seconds }) => {
            let asked = ("MicroVMStop", json!({ "vm_id": deed.vm_id, "grace_seconds": grace_seconds }));
            ask(session, &deed, asked).await
        }
        Some(VmCommand::Pause(deed)) => {
            let asked = ("MicroVMPause", json!({ "vm_id": deed.vm_id }));
            ask(session, &deed, asked).await
        }
        Some(VmCommand::Resume(deed)) => {
            let asked = ("MicroVMResume", json!({ "vm_id": deed.vm_id }));
            ask(session, &deed, asked).await
        }
        Some(VmCommand::Delete { deed, delete_disks }) => {
            let asked = ("MicroVMDelete", json!({ "vm_id": deed.vm_id, "delete_disks": delete_disks }));
            ask(session, &deed, asked).await
        }
    }
}

async fn all(session: &Session, filter: VmFilter) -> Result<(), Failure> {
    let VmFilter { agent, state, listing } = filter;
    let query = Query::new(PATH).with("agent_id", agent.as_ref()).with("state", state.as_ref());
    list::run::<VmRow>(session, &query, &listing).await
}

/// Asks the VM's agent for a deed.
async fn ask(session: &Session, deed: &VmDeed, asked: Deed) -> Result<(), Failure> {
    let action = submit::action(asked)?;
    let agent_id = match deed.agent {
        Some(agent_id) => agent_id,
        None => agent_of(session, deed.vm_id).await?,
    };
    submit::run(session, agent_id, vec![action], &deed.waiting).await
}

async fn agent_of(session: &Session, vm_id: VmId) -> Result<AgentId, Failure> {
    let vm = session.get(&Query::new(PATH).segment(&vm_id)).await?;
    let vm: VmView = serde_json::from_value(vm).map_err(unexpected)?;
    let agent_id = vm.agent_id.as_deref().and_then(|text| text.parse().ok());
    agent_id.ok_or_else(|| {
        Failure::Failed(format!("nobody knows whose vm {vm_id} is; name its agent by --agent"))
    })
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct VmRow(VmView);

impl Row for VmRow {
    const HEADINGS: &'static [&'static str] =
        &["vm id", "name", "agent id", "state", "vcpus", "memory", "provider", "since", "reason"];
    const NONE: &'static str = "no vms";

    fn cells(&self) -> Vec<String> {
        let Self(vm) = self;
        vec![
            vm.vm_id.to_string(),
            vm.vm_name.to_string(),
            or_dash(vm.agent_id.as_deref()),
            vm.state.to_string(),
            vm.vcpus.to_string(),
            bytes(vm.memory_bytes),
            vm.provider.to_string(),
            vm.since.to_string(),
            or_dash(vm.reason.as_deref()),
        ]
    }
}
