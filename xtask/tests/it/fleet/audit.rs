//! Who did what, as both audit logs have it: complete through kills, found out when it is tampered with, and refusing when
//! it is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use xtask::agent::{Host, on, until, vm_id};
use xtask::fleet::{ControlPlane, request};

use super::rounds::{Chance, Fleet, kill, life};

const SIMULATED: &str = "[providers]\nsimulated = true\n";

/// The lines that a command lists, the oldest first.
fn lines(mut command: Command) -> Vec<Value> {
    let output = command.args(["audit", "--limit", "1000", "--output", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut items = list["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

/// Operation, outcome and actor of the lines of which this field has this value.
fn told(lines: &[Value], field: &str, value: &str) -> Vec<(String, String, String)> {
    let text = |line: &Value, member: &str| line[member].as_str().unwrap().to_owned();
    let chosen = lines.iter().filter(|line| line["fields"][field] == value);
    chosen.map(|line| (text(line, "operation"), text(line, "outcome"), text(line, "actor"))).collect()
}

fn check_told(lines: &[Value], field: &str, value: &str, expected: &[(&str, &str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
    assert_eq!(told(lines, field, value), expected, "{lines:#?}");
}

/// Whether a log is whole, and what the verdict says.
fn verify(mut command: Command, head: Option<&str>) -> (bool, Value) {
    command.args(["audit", "verify", "--output", "json"]);
    if let Some(head) = head {
        command.args(["--head", head]);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(report["ok"], output.status.success(), "{report}");
    (output.status.success(), report)
}

fn check_whole(host: &Host, control: &ControlPlane) {
    for command in [host.command(&[]), control.command(&[])] {
        let (is_whole, report) = verify(command, None);
        assert!(is_whole, "{report:#}");
    }
}

fn create(host: &Host, number: u32) -> Value {
    let mut create = host.create(&vm_id(number), &format!("audit-{number}"));
    create["params"]["provider"] = json!("simulated");
    create["action_id"] = json!(format!("create-{number}"));
    create
}

fn ask(fleet: &Fleet, action: &Value) -> (u16, Value) {
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    fleet.control.rest("POST", &path, Some(action)).unwrap().unwrap()
}

fn ended(fleet: &Fleet, action_id: &str) -> Value {
    until(&format!("the end of {action_id}"), || {
        let action = fleet.control.get(&format!("/v1/actions/{action_id}")).ok()?;
        (!["queued", "delivered", "running"].contains(&action["status"].as_str()?)).then_some(action)
    })
    .unwrap()
}

#[test]
fn both_sides_have_lines_of_who_did_what() {
    let mut fleet = Fleet::start(SIMULATED);
    let agent_id = fleet.agent_id.clone();
    // Over the control plane, over the socket, refused, and cancelled too late.
    assert_eq!(ask(&fleet, &create(&fleet.host, 1)).0, 202);
    assert_eq!(ended(&fleet, "create-1")["status"], "success");
    let mut stop = on("MicroVMStop", &vm_id(1));
    stop["action_id"] = json!("stop-1");
    fleet.host.apply(&stop).unwrap();
    assert_eq!(
        ask(
            &fleet,
            &json!({"action_id": "create-1", "action_type": "MicroVMStart", "params": {"vm_id": vm_id(1)}})
        )
        .0,
        409
    );
    let mut conflict = on("MicroVMStart", &vm_id(1));
    conflict["action_id"] = json!("stop-1");
    fleet.host.submit(&conflict).unwrap_err();
    fleet.host.says(&["log-level", "warn"]).unwrap();
    fleet.host.says(&["renew"]).unwrap();
    let deleted = fleet.control.rest("DELETE", "/v1/enrollment-tokens/nobody", None).unwrap().unwrap();
    assert_eq!(deleted.0, 404);
    let (status, made) =
        fleet.control.rest("POST", "/v1/keys", Some(&json!({"role": "viewer"}))).unwrap().unwrap();
    assert_eq!(status, 201);
    let (key_id, key) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let forbidden =
        request(fleet.control.http_addr(), "POST", "/v1/keys", Some(key), Some(&json!({"role": "admin"})));
    assert_eq!(forbidden.unwrap().0, 403);
    let refused = fleet.host.command(&[
        "enroll",
        "--force",
        "--control-plane",
        &fleet.control.url(),
        "--token",
        "nkt1.x",
    ]);
    assert!(!{ refused }.output().unwrap().status.success());
    fleet.host.says(&["unenroll"]).unwrap();

    // What was left as a note while the daemon writes is there within a second.
    let host = until("the last line", || {
        let host = lines(fleet.host.command(&[]));
        (!told(&host, "revoked", "true").is_empty()).then_some(host)
    })
    .unwrap();
    check_told(
        &host,
        "action_id",
        "create-1",
        &[
            ("action.accept", "accepted", "control_plane"),
            ("action.start", "started", "control_plane"),
            ("action.end", "success", "control_plane"),
        ],
    );
    check_told(
        &host,
        "action_id",
        "stop-1",
        &[
            ("action.accept", "accepted", "local_socket"),
            ("action.start", "started", "local_socket"),
            ("action.end", "success", "local_socket"),
            ("action.accept", "refused", "local_socket"),
        ],
    );
    let of_identity: Vec<_> = host
        .iter()
        .filter(|line| line["component"] == "identity" && line["outcome"] != "refused")
        .map(|line| format!("{} {} {}", line["operation"], line["outcome"], line["actor"]).replace('"', ""))
        .collect();
    assert_eq!(
        of_identity,
        [
            "identity.enrol succeeded command_line",
            "identity.renew succeeded command_line",
            "identity.enrol failed command_line",
            "identity.unenrol succeeded command_line",
        ]
    );
    check_told(&host, "level", "warn", &[("configuration.log_level", "succeeded", "local_socket")]);
    assert_eq!(host[0]["operation"], "daemon.start");

    let admin = &fleet.control.key().unwrap();
    let admin_id = admin.split('.').nth(1).unwrap();
    let mut server = lines(fleet.control.command(&[]));
    // On a slow host the link shows the revoked certificate once more before the command has removed it.
    let left = server.iter().position(|line| line["operation"] == "agent.unenrol").unwrap() + 1;
    let shown_again = |line: &Value| line["operation"] == "agent.certificate" && line["outcome"] == "refused";
    server = server
        .into_iter()
        .enumerate()
        .filter(|(at, line)| *at < left || !shown_again(line))
        .map(|(_, line)| line)
        .collect();
    check_told(
        &server,
        "action_id",
        "create-1",
        &[("action.accept", "accepted", admin_id), ("action.accept", "refused", admin_id)],
    );
    check_told(
        &server,
        "agent_id",
        &agent_id,
        &[
            ("agent.enrol", "succeeded", &agent_id),
            ("action.accept", "accepted", admin_id),
            ("action.accept", "refused", admin_id),
            ("agent.renew", "succeeded", &agent_id),
            ("agent.unenrol", "succeeded", &agent_id),
        ],
    );
    check_told(&server, "key_id", key_id, &[("key.create", "succeeded", admin_id)]);
    check_told(&server, "route", "/v1/keys", &[("access", "refused", key_id)]);
    let operations: Vec<&str> = server.iter().map(|line| line["operation"].as_str().unwrap()).collect();
    assert_eq!(operations[..2], ["key.create", "server.start"], "the first start made the admin's key");
    assert!(operations.contains(&"token.create"), "{operations:?}");
    for (lines, secret) in [(&host, admin.as_str()), (&server, admin.as_str()), (&server, key)] {
        assert!(!json!(lines).to_string().contains(secret), "no secret is in a log");
    }

    // A reload, and the ends.
    xtask::agent::signal(fleet.host.pid(), "HUP").unwrap();
    xtask::agent::signal(fleet.control.pid(), "HUP").unwrap();
    let has = |lines: Vec<Value>| lines.iter().any(|line| line["operation"] == "configuration.reload");
    until("the reloads", || {
        (has(lines(fleet.host.command(&[]))) && has(lines(fleet.control.command(&[])))).then_some(())
    })
    .unwrap();
    fleet.host.stop().unwrap();
    fleet.control.stop().unwrap();
    for (command, last) in
        [(fleet.host.command(&[]), "daemon.stop"), (fleet.control.command(&[]), "server.stop")]
    {
        assert_eq!(lines(command).last().unwrap()["operation"], last);
    }
    for command in [fleet.host.command(&[]), fleet.control.command(&[])] {
        let (is_whole, report) = verify(command, None);
        assert!(is_whole && report["unsigned"] == 0, "an orderly end signs everything: {report}");
    }
}

#[test]
fn what_is_done_while_a_log_cannot_be_written_is_in_it_once_it_can_whoever_is_killed_before() {
    let mut fleet = Fleet::start(SIMULATED);
    fleet.control.stop().unwrap();
    fleet.host.stop().unwrap();
    let keys = [fleet.control.data_dir(), fleet.host.state_dir()].map(|dir| dir.join("audit.key"));
    for key in &keys {
        fs::rename(key, key.with_extension("aside")).unwrap();
    }
    fleet.control.start().unwrap();
    fleet.host.start().unwrap();
    fleet.host.says(&["log-level", "debug"]).unwrap();
    fleet.host.says(&["renew"]).unwrap();
    for _ in 0..2 {
        fleet.control.kill_9().unwrap();
        fleet.host.kill_9().unwrap();
        fleet.control.start().unwrap();
        fleet.host.start().unwrap();
    }
    for key in &keys {
        fs::rename(key.with_extension("aside"), key).unwrap();
    }
    let is_told = |command: Command, operation: &str| {
        let lines = lines(command);
        (lines.iter().filter(|line| line["operation"] == operation).count() == 1).then_some(())
    };
    until("the level", || is_told(fleet.host.command(&[]), "configuration.log_level")).unwrap();
    until("the renewal", || is_told(fleet.control.command(&[]), "agent.renew")).unwrap();
    check_whole(&fleet.host, &fleet.control);
}

/// The files of a log, in their order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(dir.join("audit")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn verify_finds_what_was_changed_removed_swapped_or_cut() {
    let mut fleet = Fleet::start(SIMULATED);
    for number in 1..6 {
        ask(&fleet, &create(&fleet.host, number));
        ended(&fleet, &format!("create-{number}"));
    }
    // What the control plane has kept is what the log has.
    let path = format!("/v1/agents/{}", fleet.agent_id);
    let own = || verify(fleet.host.command(&[]), None).1["head"].as_str().unwrap().to_owned();
    let head = until("the newest head at the control plane", || {
        let kept = fleet.control.get(&path).ok()?["audit_head"].as_str()?.to_owned();
        (kept == own()).then_some(kept)
    })
    .unwrap();
    // It is in the books by the time that the control plane has ended.
    fleet.control.stop().unwrap();
    fleet.host.kill_9().unwrap();
    let file = files(&fleet.host.state_dir()).remove(0);
    let whole = fs::read_to_string(&file).unwrap();
    let all: Vec<&str> = whole.split_inclusive('\n').collect();
    assert!(all.len() > 10, "{whole}");
    let check = |what: &str, text: String, head: Option<&str>, sentence: &str| {
        fs::write(&file, text).unwrap();
        let (is_whole, report) = verify(fleet.host.command(&[]), head);
        assert!(!is_whole, "{what}: {report}");
        let output = fleet
            .host
            .says(&[&["audit", "verify"][..], &head.map_or(vec![], |head| vec!["--head", head])].concat());
        let said = output.unwrap();
        assert!(said.contains(sentence), "{what}: {said}");
    };
    check(
        "a changed byte",
        whole.replacen("create-3", "create-4", 1),
        None,
        ": it was changed after it was written",
    );
    check("a removed line", [&all[..5], &all[6..]].concat().concat(), None, ": line 6 is missing before it");
    let mut swapped = all.clone();
    swapped.swap(5, 6);
    check("two swapped lines", swapped.concat(), None, "it was moved, repeated or inserted");
    let cut = all[..all.len() - 2].concat();
    check("a cut tail", cut.clone(), Some(&head), "which was seen: its end was cut off");
    assert!(verify(fleet.host.command(&[]), None).0, "without a head a cut tail looks like a younger log");

    // The daemon goes on with the cut log, and the control plane finds out by itself.
    fleet.control.start().unwrap();
    assert_eq!(fleet.control.get(&path).unwrap()["audit_head"], head, "heads survive a restart");
    fs::write(&file, cut).unwrap();
    fleet.host.start().unwrap();
    let line = until("the control plane to notice", || {
        lines(fleet.control.command(&[])).into_iter().find(|line| line["operation"] == "agent.audit_head")
    })
    .unwrap();
    assert_eq!((&line["outcome"], &line["fields"]["kept"]), (&json!("went_back"), &json!(head)));
    assert_eq!(line["fields"]["what"], format!("audit log of agent {} went back", fleet.agent_id));
    let (_, metrics) = request(fleet.control.http_addr(), "GET", "/metrics", None, None).unwrap();
    assert!(metrics.contains("\nnkudo_agent_audit_logs_went_back_total 1\n"), "{metrics}");
}

#[test]
fn a_full_log_refuses_what_is_new_and_vms_are_deleted_all_the_same() {
    let mut fleet = Fleet::start(&format!("{SIMULATED}[audit]\ndisk_bytes = 262144\n"));
    ask(&fleet, &create(&fleet.host, 1));
    assert_eq!(ended(&fleet, "create-1")["status"], "success");
    // An id that was used for something else: refused, and on record each time.
    let mut conflict = on("MicroVMStart", &vm_id(1));
    conflict["action_id"] = json!("create-1");
    let is_full = || fleet.host.scrape("/metrics").unwrap().1.contains("\nnkudo_audit_storage_full 1.0");
    for _ in 0..100 {
        (0..20).for_each(|_| drop(fleet.host.submit(&conflict).unwrap_err()));
        if is_full() {
            break;
        }
    }
    let mut pause = on("MicroVMPause", &vm_id(1));
    pause["action_id"] = json!("pause-1");
    let refusal = fleet.host.submit(&pause).unwrap_err().to_string();
    assert!(refusal.contains("507") && refusal.contains("\"detail\":\"audit storage full\""), "{refusal}");
    // The control plane is told the same words.
    let mut start = on("MicroVMStart", &vm_id(1));
    start["action_id"] = json!("start-1");
    assert_eq!(ask(&fleet, &start).0, 202);
    let refused = ended(&fleet, "start-1");
    assert_eq!((&refused["status"], &refused["error"]), (&json!("failure"), &json!("audit storage full")));
    let health = until("health to tell", || {
        let health = fleet.host.json(&["health"]).ok()?;
        let components = health["components"].as_array()?;
        components.iter().find(|part| part["component"] == "audit" && part["health"] == "unhealthy").cloned()
    })
    .unwrap();
    assert!(health["reason"].as_str().unwrap().starts_with("audit storage full"), "{health}");
    let mut delete = on("MicroVMDelete", &vm_id(1));
    delete["action_id"] = json!("delete-1");
    assert_eq!(ask(&fleet, &delete).0, 202);
    assert_eq!(ended(&fleet, "delete-1")["status"], "success");
    let (is_whole, report) = verify(fleet.host.command(&[]), None);
    assert!(is_whole, "{report}");
    let host = lines(fleet.host.command(&[]));
    check_told(
        &host,
        "action_id",
        "delete-1",
        &[
            ("action.accept", "accepted", "control_plane"),
            ("action.start", "started", "control_plane"),
            ("action.end", "success", "control_plane"),
        ],
    );
    // With a higher bound it goes on, and tells how much it refused.
    fleet.host.stop().unwrap();
    fleet.host.configure(SIMULATED).unwrap();
    fleet.host.start().unwrap();
    fleet.host.apply(&create(&fleet.host, 2)).unwrap();
    assert!(verify(fleet.host.command(&[]), None).0);
}

#[test]
fn through_kills_every_step_of_every_action_is_on_record_once() {
    let mut fleet = Fleet::start(SIMULATED);
    let mut chance = Chance::new(20_261_121);
    let ids: Vec<String> = (0..12).map(|number| vm_id(7_000 + number)).collect();
    let mut actions = Vec::new();
    for id in &ids {
        let name = format!("v{}", id.replace('-', ""));
        let create = json!({"action_type": "MicroVMCreate", "params": {"vm_id": id, "vm_name": name, "vcpus": 1,
            "memory_bytes": 16 << 20, "kernel": fleet.host.kernel(), "provider": "simulated"}});
        actions.extend(life(&create, id, "audit", 2));
    }
    fleet.flow(&actions, |control, host| kill(control, host, &mut chance, 6));
    check_whole(&fleet.host, &fleet.control);
    let (host, server) = (lines(fleet.host.command(&[])), lines(fleet.control.command(&[])));
    for action in &actions {
        let action_id = action["action_id"].as_str().unwrap();
        let told = told(&host, "action_id", action_id);
        // Power may take an admission that nobody was told of; a kill takes nothing that was written.
        let count = |operation: &str| told.iter().filter(|(told, ..)| told == operation).count();
        assert_eq!((count("action.accept"), count("action.end")), (1, 1), "{action_id}: {told:?}");
        assert!(count("action.start") >= 1, "{action_id}: {told:?}");
        // An answer that a kill took was asked for again, and is a repetition then.
        let accepted = told_count(&server, action_id);
        assert!(accepted <= 1, "{action_id}: {accepted}");
    }
    let accepted: usize =
        actions.iter().map(|action| told_count(&server, action["action_id"].as_str().unwrap())).sum();
    assert!(accepted + 6 >= actions.len(), "each kill takes one unanswered request at the most: {accepted}");
}

fn told_count(lines: &[Value], action_id: &str) -> usize {
    told(lines, "action_id", action_id).len()
}
