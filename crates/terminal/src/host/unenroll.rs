//! `unenroll`.

use nkudo_agent::audit::Actor;
use nkudo_agent::config::Settings;
use nkudo_agent::identity::{self, IdentityError, Unenrolled};
use nkudo_agent::origin::new_origin;
use nkudo_api::view::{List, OutcomeLine, VmView};
use nkudo_domain::{Action, AskedBy, DeleteVm, Request};
use serde_json::json;

use crate::daemon::view;
use crate::failure::Failure;
use crate::perform::perform;
use crate::{Output, print};

/// How a host leaves its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unenroll {
    /// Also when the control plane cannot be told.
    pub force: bool,
    /// Deletes the VMs before; else they stay and run on.
    pub delete_vms: bool,
}

/// `unenroll`: the control plane revokes the certificates, then they are removed here.
///
/// # Errors
/// When the host is not enrolled, a VM was not deleted, or the control plane was not told and need be.
pub async fn unenroll(settings: &Settings, how: Unenroll, output: Output) -> Result<(), Failure> {
    let deleted = if how.delete_vms { delete_vms(settings).await? } else { 0 };
    let unenrolled = Box::pin(identity::unenroll(&settings.state_dir, how.force, Actor::CommandLine));
    let unenrolled = unenrolled.await.map_err(|error| match error {
        IdentityError::NotEnrolled => Failure::failed(error),
        error if how.force => Failure::failed(error),
        error => {
            let Failure::Failed(sentence) = Failure::failed(error) else { return Failure::NotFine };
            Failure::Failed(format!("{sentence}; with --force this host leaves without telling it"))
        }
    })?;
    let revoked = match unenrolled {
        Unenrolled::Revoked => true,
        Unenrolled::LocallyOnly => false,
    };
    match output {
        Output::Json => print::json(&json!({"unenrolled": true, "revoked": revoked, "vms_deleted": deleted})),
        Output::Text if revoked => print::line("This host is unenrolled; its certificates are revoked."),
        Output::Text => print::line(
            "This host is unenrolled here. The control plane could not be told: an operator has to revoke the agent \
             with nkudo agents unenroll.",
        ),
    }
}

async fn delete_vms(settings: &Settings) -> Result<usize, Failure> {
    let vms: List<VmView> = view(settings, "/v1/vms", |offline| Ok(List::whole(offline.vms()))).await?;
    let actions: Vec<Action> = vms.items.iter().map(delete).collect();
    let count = actions.len();
    let mut failed = Vec::new();
    let mut tell = |line: &OutcomeLine| {
        failed.extend(line.error.clone());
        Ok(())
    };
    if perform(settings, actions, true, &mut tell).await? {
        Ok(count)
    } else {
        Err(Failure::Failed(format!(
            "not every vm could be deleted, so this host stays enrolled: {}",
            failed.join("; ")
        )))
    }
}

fn delete(vm: &VmView) -> Action {
    let origin = new_origin();
    let request = Request::Delete(DeleteVm { vm_id: vm.vm_id, delete_disks: false });
    Action {
        action_id: origin.action_id,
        timeout: request.default_timeout(),
        request,
        trace_id: origin.trace_id,
        parent_span_id: origin.parent_span_id,
        correlation_id: None,
        asked_by: AskedBy::Unknown,
        start_within: None,
    }
}
