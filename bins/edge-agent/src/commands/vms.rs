//! `vms`.

use nkudo_agent::config::Settings;
use nkudo_api::view::{List, VmView};

use nkudo_terminal::daemon::view;
use nkudo_terminal::print::{self, bytes, or_dash};
use nkudo_terminal::{Failure, Output};

pub(crate) async fn run(settings: &Settings, output: Output) -> Result<(), Failure> {
    let list: List<VmView> =
        view(settings, "/v1/vms?limit=1000", |offline| Ok(List::whole(offline.vms()))).await?;
    match output {
        Output::Json => print::json(&list),
        Output::Text if list.items.is_empty() => print::line("no vms on this host"),
        Output::Text => {
            let rows = list.items.iter().map(|vm| {
                vec![
                    vm.vm_id.to_string(),
                    vm.vm_name.to_string(),
                    vm.state.to_string(),
                    vm.vcpus.to_string(),
                    bytes(vm.memory_bytes),
                    vm.provider.to_string(),
                    or_dash(vm.pid),
                    or_dash(vm.reason.as_deref()),
                ]
            });
            print::table(&["vm id", "name", "state", "vcpus", "memory", "provider", "pid", "reason"], rows)
        }
    }
}
