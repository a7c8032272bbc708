//! A microVM's life on real QEMU, through the daemon and without it.

use serde_json::json;

use crate::harness::{Host, alive, on, until, vm_id};

#[test]
fn a_vm_is_created_paused_resumed_stopped_started_and_deleted() {
    let host = Host::running("");
    let id = vm_id(1);
    let created = host.succeed(&host.create(&id, "web-1"));
    assert_eq!(created["changed"], true);
    until("READY", || host.console(&id).contains("READY pm web-1").then_some(()));
    let pid = host.vmm_pid(&id).unwrap();
    let vm = host.vm(&id);
    assert_eq!((&vm["state"], &vm["provider"], &vm["pid"]), (&json!("running"), &json!("qemu"), &json!(pid)));

    assert_eq!(host.succeed(&on("MicroVMPause", &id))["changed"], true);
    assert_eq!(host.vm(&id)["state"], "paused");
    let ticks = host.console(&id);
    assert_eq!(host.succeed(&on("MicroVMPause", &id))["changed"], false);
    assert_eq!(host.fail(&on("MicroVMStart", &id)), "cannot start vm web-1: it is paused");
    assert_eq!(host.console(&id), ticks, "a paused guest does not tick");
    assert_eq!(host.succeed(&on("MicroVMResume", &id))["changed"], true);
    until("a tick after resume", || (host.console(&id).len() > ticks.len()).then_some(()));

    // The guest obeys the power button, so the grace time is not waited out.
    let stopped = host.succeed(&on("MicroVMStop", &id));
    assert!(stopped["duration_ms"].as_u64().unwrap() < 25_000, "{stopped}");
    assert!(host.console(&id).contains("POWERBTN"));
    assert_eq!(host.vm(&id)["state"], "stopped");
    assert!(!alive(pid));
    assert_eq!(host.fail(&on("MicroVMPause", &id)), "cannot pause vm web-1: it is stopped");
    assert_eq!(host.succeed(&host.create(&id, "web-1"))["changed"], false, "an unchanged create");
    assert_eq!(host.vm(&id)["state"], "stopped", "an unchanged create boots nothing");

    assert_eq!(host.succeed(&on("MicroVMStart", &id))["changed"], true);
    assert_eq!(host.vm(&id)["state"], "running");
    assert_eq!(host.succeed(&on("MicroVMDelete", &id))["changed"], true);
    assert_eq!(host.succeed(&on("MicroVMDelete", &id))["changed"], false);
    host.assert_nothing_left();
}

#[test]
fn a_guest_that_does_not_listen_is_forced_after_its_grace() {
    let host = Host::running("");
    let id = vm_id(2);
    let mut create = host.create(&id, "deaf");
    create["params"]["cmdline"] = json!("deaf");
    host.succeed(&create);
    let stop = json!({"action_type": "MicroVMStop", "params": {"vm_id": id, "grace_seconds": 1}});
    let stopped = host.succeed(&stop);
    assert!(stopped["duration_ms"].as_u64().unwrap() >= 1_000, "{stopped}");
    assert_eq!(host.vm(&id)["state"], "stopped");
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn a_vm_made_without_autostart_has_no_process() {
    let host = Host::running("");
    let id = vm_id(3);
    let mut create = host.create(&id, "idle");
    create["params"]["autostart"] = json!(false);
    host.succeed(&create);
    assert_eq!(host.vm(&id)["state"], "stopped");
    assert_eq!(host.vmm_pid(&id), None);
    host.succeed(&on("MicroVMStart", &id));
    until("READY", || host.console(&id).contains("READY").then_some(()));
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn a_vmm_that_dies_is_noticed_and_its_reason_told() {
    let host = Host::running("");
    let id = vm_id(4);
    host.succeed(&host.create(&id, "web-4"));
    let pid = host.vmm_pid(&id).unwrap();
    let began = std::time::Instant::now();
    crate::harness::send_signal(pid, "KILL");
    let vm = host.wait_for_vm(&id, "failed");
    assert!(began.elapsed().as_millis() < 1_000, "noticed after {:?}", began.elapsed());
    assert!(vm["reason"].as_str().unwrap().contains("killed by signal 9"), "{vm}");
    // The views show a state at once, metrics, events and logs tell it when it is on disk.
    until("its count", || (host.sample("nkudo_vms_total{state=\"failed\"}") == Some(1.0)).then_some(()));
    host.succeed(&on("MicroVMStart", &id));
    assert_eq!(host.vm(&id)["state"], "running");
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn a_restart_policy_brings_a_dead_vm_back() {
    let host = Host::running("");
    let id = vm_id(5);
    let mut create = host.create(&id, "phoenix");
    create["params"]["restart_policy"] = json!("on-failure");
    host.succeed(&create);
    let pid = host.vmm_pid(&id).unwrap();
    crate::harness::send_signal(pid, "KILL");
    let vm = until("its restart", || {
        let vm = host.vm(&id);
        (vm["state"] == "running" && vm["restarts"] == 1).then_some(vm)
    });
    assert_ne!(vm["pid"], json!(pid));
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn apply_works_without_a_daemon_and_the_vm_lives_on() {
    let host = Host::new();
    let id = vm_id(6);
    let (code, lines) = host.apply(&json!([host.create(&id, "solo"), on("MicroVMPause", &id)]));
    assert_eq!(code, 0, "{lines:?}");
    assert_eq!(lines.len(), 2);
    assert!(alive(host.vmm_pid(&id).unwrap()));
    let vms = host.run(&["vms", "--output", "json"]).json();
    assert_eq!(vms["items"][0]["state"], "paused", "{vms}");
    let executions = host.run(&["executions", "--output", "json"]).json();
    assert_eq!(executions["items"][0]["action_type"], "MicroVMPause", "the newest first: {executions}");
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn apply_stops_at_the_first_failure_unless_told_to_go_on() {
    let host = Host::running("");
    let unknown = on("MicroVMStart", &vm_id(77));
    let (code, lines) = host.apply(&json!([unknown, unknown]));
    assert_eq!((code, lines.len()), (1, 1), "{lines:?}");
    assert!(lines[0]["error"].as_str().unwrap().contains("no such vm on this host"), "{lines:?}");
    let file = host.path("apply.json");
    let ran = host.run(&["apply", "--keep-going", "--output", "json", "-f", file.to_str().unwrap()]);
    assert_eq!((ran.code(), ran.stdout().lines().count()), (1, 2));
}

#[test]
fn a_vm_whose_run_directory_is_taken_away_is_unknown_and_can_be_deleted_whole() {
    let host = Host::running("");
    let id = vm_id(7);
    host.succeed(&host.create(&id, "robbed"));
    let pid = host.vmm_pid(&id).unwrap();
    std::fs::remove_dir_all(host.vm_dir(&id)).unwrap();
    assert!(host.fail(&on("MicroVMPause", &id)).contains("robbed") || alive(pid));
    assert_eq!(host.vm(&id)["state"], "unknown");
    host.succeed(&on("MicroVMDelete", &id));
    assert!(!alive(pid));
    host.assert_nothing_left();
}

#[test]
fn an_apply_without_a_daemon_can_be_watched_and_interrupted() {
    let host = Host::new();
    let id = vm_id(8);
    let mut create = host.create(&id, "deaf");
    create["params"]["cmdline"] = json!("deaf");
    host.succeed(&create);
    let stop = json!({"action_id": "slow-stop", "action_type": "MicroVMStop",
        "params": {"vm_id": id, "grace_seconds": 60}});
    let file = host.path("stop.json");
    std::fs::write(&file, stop.to_string()).unwrap();
    host.configure("stop_wait = \"0s\"\n");
    let mut apply = host.command();
    let mut apply = apply
        .args(["apply", "-f", file.to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("the stop in the state file", || {
        let executions = host.run(&["executions", "--output", "json"]).json();
        (executions["items"][0]["action_id"] == "slow-stop").then_some(())
    });
    assert_eq!(host.run(&["vms", "--output", "json"]).json()["items"][0]["state"], "running");
    crate::harness::send_signal(apply.id(), "INT");
    let ended = until("its end", || apply.try_wait().unwrap());
    assert_eq!(ended.code(), Some(1));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut apply.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("interrupted") && said.contains("next start"), "{said}");
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn what_is_in_the_way_of_a_vm_is_refused_and_left_as_it_is_also_after_a_restart() {
    let mut host = Host::running("");
    let (link, directory, file) = (vm_id(1), vm_id(2), vm_id(3));
    let victim = host.path("victim");
    for path in [&victim, &host.vm_dir(&directory)] {
        std::fs::create_dir_all(path).unwrap();
    }
    std::os::unix::fs::symlink(&victim, host.vm_dir(&link)).unwrap();
    let precious = [victim.join("spec.json"), host.vm_dir(&directory).join("disk.img"), host.vm_dir(&file)];
    for path in &precious {
        std::fs::write(path, "precious").unwrap();
    }
    for _ in 0..2 {
        for id in [&link, &directory, &file] {
            let mut create = host.create(id, &format!("vm-{id}"));
            let refusal = format!("{} is in the way", host.vm_dir(id).display());
            assert!(host.fail(&create).starts_with(&refusal), "{id}");
            create["params"]["kernel"] = json!("/nowhere");
            assert!(!host.fail(&create).contains("taken back"), "{id}");
            assert_eq!(host.succeed(&on("MicroVMDelete", id))["changed"], false, "nothing of {id} stayed");
        }
        host.kill_9();
        host.start();
    }
    for path in &precious {
        assert_eq!(std::fs::read_to_string(path).unwrap(), "precious");
    }
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1);
}
