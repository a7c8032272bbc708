//! The daemon ends in every way; the VMs stay.

use serde_json::{Value, json};

use crate::harness::{Host, alive, on, send_signal, until, vm_id};

#[test]
fn vms_outlive_a_killed_agent_and_are_adopted() {
    let mut host = Host::running("");
    let (running, paused, dies) = (vm_id(1), vm_id(2), vm_id(3));
    for (id, name) in [(&running, "a"), (&paused, "b"), (&dies, "c")] {
        host.succeed(&host.create(id, name));
    }
    host.succeed(&on("MicroVMPause", &paused));
    let pids: Vec<u32> = [&running, &paused, &dies].map(|id| host.vmm_pid(id).unwrap()).to_vec();
    host.kill_9();
    assert!(pids.iter().all(|pid| alive(*pid)));
    send_signal(pids[2], "KILL");
    until("its death", || (!alive(pids[2])).then_some(()));
    host.start();
    assert_eq!(host.vm(&running)["state"], "running");
    assert_eq!(host.vm(&running)["pid"], json!(pids[0]));
    assert_eq!(host.vm(&paused)["state"], "paused");
    // While its last threads end, lock and process disagree, and it is unknown.
    host.wait_for_vm(&dies, "failed");
    host.until_logged("\"vm adopted\"");
    // An adopted VM obeys as before, and its death is noticed though it is nobody's child.
    host.succeed(&on("MicroVMResume", &paused));
    send_signal(pids[0], "KILL");
    host.wait_for_vm(&running, "failed");
    for id in [&running, &paused, &dies] {
        host.succeed(&on("MicroVMDelete", id));
    }
    host.assert_nothing_left();
}

#[test]
fn a_guest_that_powers_off_while_the_agent_is_away_is_stopped_not_failed() {
    let mut host = Host::running("");
    let id = vm_id(4);
    host.succeed(&host.create(&id, "leaver"));
    // A guest that has not come so far does not hear the power button.
    until("READY", || host.console(&id).contains("READY").then_some(()));
    host.kill_9();
    let mut monitor = Monitor::connect(&host, &id);
    monitor.command("system_powerdown");
    let pid = host.vmm_pid(&id).unwrap();
    until("its end", || (!alive(pid)).then_some(()));
    host.start();
    let vm = host.wait_for_vm(&id, "stopped");
    assert_eq!(vm["reason"], "the guest powered off");
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn a_graceful_stop_leaves_the_vms_running() {
    let mut host = Host::running("");
    let id = vm_id(5);
    host.succeed(&host.create(&id, "stays"));
    let pid = host.vmm_pid(&id).unwrap();
    assert_eq!(host.stop(), Some(0));
    assert!(alive(pid));
    assert!(!host.state_dir().join("edge-agent.addr.json").exists());
    let status = host.run(&["status", "--output", "json"]).json();
    assert_eq!((&status["vms"]["running"], &status["daemon_running"]), (&json!(1), &json!(false)));
    host.start();
    assert_eq!(host.vm(&id)["pid"], json!(pid));
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn a_stop_hands_back_what_does_not_end_in_time_and_the_next_start_finishes_it() {
    let mut host = Host::running("stop_wait = \"500ms\"\n");
    let id = vm_id(8);
    let mut create = host.create(&id, "deaf");
    create["params"]["cmdline"] = json!("deaf");
    host.succeed(&create);
    let stop = json!({"action_id": "stop-1", "action_type": "MicroVMStop",
        "params": {"vm_id": id, "grace_seconds": 3}});
    assert_eq!(host.request("POST", "/v1/actions", &stop.to_string()).status, 202);
    until("its start", || (host.get("/v1/actions/stop-1")["status"] == "running").then_some(()));
    let mut follower = host.follow("/v1/actions/stop-1/events");
    assert_eq!(host.stop(), Some(0), "handing back is a clean end");
    follower.ends();
    assert!(host.log().lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", host.log());
    host.start();
    until("its end", || (host.get("/v1/actions/stop-1")["status"] == "success").then_some(()));
    assert_eq!(host.vm(&id)["state"], "stopped");
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

#[test]
fn whoever_waits_for_an_action_hears_its_end_while_the_daemon_stops() {
    let mut host = Host::running("[providers]\nsimulated = true\n");
    let create = host.create_simulated(&vm_id(9), "slow", &json!({"simulated.boot_ms": "700"}));
    let file = host.path("slow.json");
    std::fs::write(&file, create.to_string()).unwrap();
    let mut apply = host.command();
    let mut apply = apply.args(["apply", "-f", file.to_str().unwrap()]).spawn().unwrap();
    until("its start", || (host.get("/v1/actions")["items"][0]["status"] == "running").then_some(()));
    assert_eq!(host.stop(), Some(0));
    assert!(apply.wait().unwrap().success());
}

#[test]
fn a_repeated_action_id_is_answered_from_the_record_also_after_a_crash() {
    let mut host = Host::running("");
    let id = vm_id(6);
    let mut create = host.create(&id, "once");
    create["action_id"] = json!("deploy:1");
    let first = host.succeed(&create);
    let pid = host.vmm_pid(&id);
    host.kill_9();
    host.start();
    let second = host.succeed(&create);
    assert_eq!((&second["changed"], &second["duration_ms"]), (&first["changed"], &first["duration_ms"]));
    assert_eq!(host.vmm_pid(&id), pid);
    // Bodies are compared with their defaults filled in.
    let mut explicit = create.clone();
    explicit["params"]["autostart"] = json!(true);
    explicit["params"].as_object_mut().unwrap().remove("provider");
    host.succeed(&explicit);
    create["params"]["vcpus"] = json!(2);
    assert!(host.fail(&create).contains("was used for another action"));
    let executed =
        host.sample("nkudo_actions_executed_total{action_type=\"MicroVMCreate\",status=\"success\"}");
    assert_eq!(executed, Some(0.0), "a replayed result does not count again");
    host.succeed(&on("MicroVMDelete", &id));
}

#[test]
fn kills_at_any_moment_lose_and_double_nothing() {
    let mut host = Host::running("");
    let file = host.path("round.json");
    for round in 0..8_u32 {
        let id = vm_id(100 + round);
        let mut create = host.create(&id, &format!("r{round}"));
        create["action_id"] = json!(format!("create-{round}"));
        std::fs::write(&file, create.to_string()).unwrap();
        let mut apply = host.command();
        let mut apply = apply.args(["apply", "-f", file.to_str().unwrap()]).spawn().unwrap();
        // The moments spread from before the admission to after the boot.
        let began = std::time::Instant::now();
        until("the moment", || (began.elapsed().as_millis() >= u128::from(round) * 25).then_some(()));
        host.kill_9();
        apply.wait().unwrap();
        host.start();
        let again = host.succeed(&create);
        assert_eq!(again["status"], "success");
        let vm = host.wait_for_vm(&id, "running");
        let mine: Vec<u32> = host.processes().into_iter().filter(|pid| json!(pid) == vm["pid"]).collect();
        assert_eq!(mine.len(), 1, "one process for one vm");
        host.succeed(&on("MicroVMDelete", &id));
    }
    host.assert_nothing_left();
}

#[test]
fn a_broken_state_file_and_a_broken_journal_tail_stop_nothing() {
    let mut host = Host::running("");
    let id = vm_id(7);
    host.succeed(&host.create(&id, "kept"));
    let pid = host.vmm_pid(&id).unwrap();
    host.stop();
    std::fs::write(host.state_dir().join("edge-state.json"), "{\"version\": 1, \"exec").unwrap();
    let journal = host.state_dir().join("journal");
    let mut segments: Vec<_> = std::fs::read_dir(&journal).unwrap().map(|e| e.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|e| e == "seg"));
    segments.sort();
    let last = segments.last().unwrap();
    let mut bytes = std::fs::read(last).unwrap();
    let end = bytes.len();
    bytes[end - 5] ^= 0xff;
    std::fs::write(last, bytes).unwrap();
    host.start();
    assert_eq!(host.vm(&id)["state"], "running");
    assert_eq!(host.vm(&id)["pid"], json!(pid));
    host.until_logged("the journal's tail was not readable");
    let state: Value = until("a new state file", || {
        let text = std::fs::read_to_string(host.state_dir().join("edge-state.json")).ok()?;
        serde_json::from_str(&text).ok()
    });
    assert_eq!(state["vms"][0]["vm_id"], json!(id));
    let aside = std::fs::read_dir(host.state_dir()).unwrap().flatten();
    let aside = aside.filter(|e| e.file_name().to_string_lossy().starts_with("edge-state.corrupt-"));
    assert_eq!(aside.count(), 1, "the bad file is kept aside");
    host.succeed(&on("MicroVMDelete", &id));
    host.assert_nothing_left();
}

/// A client of QEMU's monitor.
struct Monitor(std::io::BufReader<std::os::unix::net::UnixStream>);

impl Monitor {
    fn connect(host: &Host, vm_id: &str) -> Self {
        let stream = std::os::unix::net::UnixStream::connect(host.vm_dir(vm_id).join("qmp.sock")).unwrap();
        let mut monitor = Self(std::io::BufReader::new(stream));
        monitor.line();
        monitor.command("qmp_capabilities");
        monitor
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut self.0, &mut line).unwrap();
        line
    }

    fn command(&mut self, name: &str) {
        use std::io::Write;
        writeln!(self.0.get_mut(), "{{\"execute\":\"{name}\"}}").unwrap();
        while !self.line().contains("\"return\"") {}
    }
}
