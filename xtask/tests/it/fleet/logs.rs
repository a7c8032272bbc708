//! Logs of all three programs: written, found by an action's ids, followed, and with no secret in them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use nkudo_api::time::WallTime;
use nkudo_host::clock;
use nkudo_rpc::message::{AgentHello, Facts, FromAgent, LogLines, LogsAnswer, ToAgent};
use serde_json::{Value, json};
use xtask::agent::{Host, signal, until, vm_id};
use xtask::fleet::{build, request};

use super::bad_input::{connect, control, enrolled, now_ms};
use super::rounds::Fleet;

const SIMULATED: &str = "[providers]\nsimulated = true\n";

/// Asks for a VM under this action id, waits for its success, and answers the trace of it.
fn done(fleet: &Fleet, action_id: &str, number: u32) -> String {
    let create = json!({"action_id": action_id, "action_type": "MicroVMCreate", "params": {"vm_id": vm_id(number),
        "vm_name": format!("l{number}"), "vcpus": 1, "memory_bytes": 16 << 20, "kernel": fleet.host.kernel(),
        "provider": "simulated"}});
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    assert_eq!(fleet.control.rest("POST", &path, Some(&create)).unwrap().unwrap().0, 202);
    let action = until("the action's success", || {
        fleet
            .control
            .get(&format!("/v1/actions/{action_id}"))
            .ok()
            .filter(|action| action["status"] == "success")
    });
    action.unwrap()["trace_id"].as_str().unwrap().to_owned()
}

/// The log lines of a command, as JSON.
fn lines(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A page of a log over REST.
fn items(fleet: &Fleet, path: &str) -> Vec<Value> {
    fleet.control.get(path).unwrap()["items"].as_array().unwrap().clone()
}

fn has_end(lines: &[Value]) -> bool {
    lines.iter().any(|line| line["message"] == "action succeeded")
}

/// All log files of a daemon.
fn files(home: &Path) -> String {
    let entries = std::fs::read_dir(home.join("logs")).unwrap().flatten();
    entries.map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect()
}

fn end(mut child: Child) -> Option<i32> {
    signal(child.id(), "INT").unwrap();
    child.wait().unwrap().code()
}

#[test]
fn an_actions_lines_are_found_on_the_agent_over_the_control_plane_and_by_the_operator() {
    let mut fleet = Fleet::start(SIMULATED);
    let trace_id = done(&fleet, "told", 1);
    let (control, agent_id) = (&fleet.control, fleet.agent_id.as_str());
    let on = |host: &Host, by: [&str; 2]| lines(&host.says(&["logs", "--json", by[0], by[1]]).unwrap());
    let on_agent = |by| on(&fleet.host, by);
    let over_rest = |by: &str| items(&fleet, &format!("/v1/logs?agent_id={agent_id}&{by}"));
    let operator = |by: [&str; 2]| {
        lines(&control.operator_says(&["logs", "--agent", agent_id, "--json", by[0], by[1]]).unwrap())
    };
    let (by_action, by_trace) = (["--action-id", "told"], ["--trace-id", trace_id.as_str()]);
    until("the end in the agent's files", || has_end(&on_agent(by_action)).then_some(())).unwrap();
    let found = on_agent(by_action);
    assert!(found.len() >= 2, "{found:?}");
    let newest_first: Vec<Value> = found.iter().rev().cloned().collect();
    assert_eq!(over_rest("action_id=told"), newest_first);
    assert_eq!(operator(by_action), found);
    assert!(has_end(&on_agent(by_trace)) && has_end(&operator(by_trace)));
    assert!(has_end(&over_rest(&format!("trace_id={trace_id}&since=1h"))));
    // Page by page.
    let path = format!("/v1/logs?agent_id={agent_id}&action_id=told&limit=1");
    let first = control.get(&path).unwrap();
    let next = first["next_cursor"].as_str().unwrap();
    let second = control.get(&format!("{path}&cursor={next}")).unwrap();
    assert_eq!((&first["items"][0], &second["items"][0]), (&newest_first[0], &newest_first[1]));
    // The control plane's own.
    let own = || lines(&control.operator_says(&["logs", "--json", "--action-id", "told"]).unwrap());
    until("the end in the control plane's files", || {
        own().iter().any(|line| line["message"] == "action ended").then_some(())
    })
    .unwrap();
    let text = control.operator_says(&["logs", "--trace-id", &trace_id]).unwrap();
    assert!(text.contains("control: action ended"), "{text}");

    fleet.host.kill_9().unwrap();
    assert_eq!(on(&fleet.host, by_action), found, "the files of a killed agent");
    let control = &fleet.control;
    let answer = until("the loss of the link to be noticed", || {
        let (status, answer) = control.rest("GET", &path, None).ok()??;
        (status == 503).then_some(answer)
    });
    assert!(answer.as_ref().unwrap()["detail"].as_str().unwrap().contains("is not connected"), "{answer:?}");
    fleet.control.kill_9().unwrap();
    assert!(
        files(&fleet.control.data_dir()).contains("\"action ended\""),
        "the files of a killed control plane"
    );
}

#[test]
fn new_lines_come_to_whoever_follows_within_two_seconds() {
    let fleet = Fleet::start(SIMULATED);
    let follow = |command: &mut std::process::Command, say: &dyn Fn()| {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut shown = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        // What was there already says that the stream is open.
        assert!(shown.next().is_some());
        // The fastest of three: the machine may be busy.
        let late = (0..3).map(|_| {
            say();
            let line = shown.find(|line| line.contains("log level changed")).expect("the stream ended");
            let line: Value = serde_json::from_str(&line).unwrap();
            let WallTime(at_ms) = line["timestamp"].as_str().unwrap().parse().unwrap();
            clock::wall_ms() - at_ms
        });
        let late_ms = late.min().unwrap();
        assert!(late_ms < 2_000, "{late_ms} ms");
        assert_eq!(end(child), Some(0));
    };
    let level = || drop(fleet.host.says(&["log-level", "info"]).unwrap());
    let flags = ["logs", "--follow", "--json", "--limit", "1", "-q", "log level changed"];
    level();
    follow(&mut fleet.host.command(&flags), &level);
    follow(&mut fleet.control.operator(&[&flags[..], &["--agent", &fleet.agent_id]].concat()), &level);
    let mut child = fleet
        .control
        .operator(&["logs", "--follow", "--json", "--limit", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(shown.next().is_some());
    done(&fleet, "told", 1);
    assert!(shown.any(|line| line.contains("action ended")));
    assert_eq!(end(child), Some(0));
}

#[test]
fn a_log_is_shown_to_nobody_whose_it_is_not() {
    let fleet = Fleet::start(SIMULATED);
    let control = &fleet.control;
    let key = |tenant: &str, role: &str| {
        let create = ["key", "create", "--role", role, "--tenant", tenant, "--output", "json"];
        let output = control.command(&create).output().unwrap();
        let created: Value = serde_json::from_slice(&output.stdout).unwrap();
        created["key"].as_str().unwrap().to_owned()
    };
    let (viewer, foreign) = (key("default", "viewer"), key("other", "admin"));
    let check = |path: &str, key: &str, status: u16| {
        let answer = request(control.http_addr(), "GET", path, Some(key), None).unwrap();
        assert_eq!(answer.0, status, "{path}: {}", answer.1);
    };
    let of_agent = format!("/v1/logs?agent_id={}", fleet.agent_id);
    check(&of_agent, &viewer, 200);
    check(&of_agent, &foreign, 404);
    check(&format!("{of_agent}&follow=true"), &foreign, 404);
    check("/v1/logs", &control.key().unwrap(), 200);
    check("/v1/logs", &viewer, 403);
    check("/v1/logs", &foreign, 403);
    check("/v1/logs?follow=true", &foreign, 403);
    // What the host did before it was enrolled here is not this tenant's either.
    until("the agent's own first line", || {
        files(&fleet.host.state_dir()).contains("\"message\":\"ready\"").then_some(())
    })
    .unwrap();
    assert_eq!(items(&fleet, &format!("{of_agent}&q=ready&component=agent")), Vec::<Value>::new());
    assert!(!items(&fleet, &of_agent).is_empty());
    check(&format!("{of_agent}&until=2020-01-01T00:00:00Z"), &viewer, 422);
    // Over TLS nobody gets the control plane's own, which is not read from afar.
    let ca = control.data_dir().join("ca.pem");
    let from_afar = std::process::Command::new(build(false).unwrap().nkudo)
        .args(["logs", "--server", &control.url(), "--ca-file", ca.to_str().unwrap(), "--token-file"])
        .arg(control.data_dir().join("admin.token"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&from_afar.stderr).into_owned();
    assert!(from_afar.status.code() == Some(1) && told.contains("read on its host"), "{told}");
}

#[test]
fn what_a_host_logged_for_another_tenant_is_not_shown_though_its_clock_ran_ahead_then() {
    let mut fleet = Fleet::start(SIMULATED);
    done(&fleet, "theirs", 1);
    let logs = fleet.host.state_dir().join("logs");
    let theirs = |files: &str| files.contains("action succeeded");
    until("the end in the agent's files", || theirs(&files(&fleet.host.state_dir())).then_some(())).unwrap();
    // As if the clock had been two hours ahead until now.
    fleet.host.stop().unwrap();
    let path = std::fs::read_dir(&logs).unwrap().flatten().map(|entry| entry.path()).max().unwrap();
    let ahead = WallTime(clock::wall_ms() + 2 * 3_600_000).to_string();
    let lines = std::fs::read_to_string(&path).unwrap();
    let shifted = lines.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["timestamp"] = json!(ahead);
        format!("{line}\n")
    });
    std::fs::write(&path, shifted.collect::<String>()).unwrap();
    fleet.host.start().unwrap();

    // Enrolled anew by the command line while the daemon runs.
    let create = ["token", "create", "--tenant", "other", "--output", "json"];
    let made: Value =
        serde_json::from_slice(&fleet.control.command(&create).output().unwrap().stdout).unwrap();
    let key = ["key", "create", "--role", "viewer", "--tenant", "other", "--output", "json"];
    let key: Value = serde_json::from_slice(&fleet.control.command(&key).output().unwrap().stdout).unwrap();
    let (url, token) = (fleet.control.url(), made["token"].as_str().unwrap());
    let enrolled =
        fleet.host.json(&["enroll", "--force", "--control-plane", &url, "--token", token]).unwrap();
    assert_eq!(enrolled["tenant_id"], "other");
    let path = format!("/v1/logs?agent_id={}&limit=500", enrolled["agent_id"].as_str().unwrap());
    let shown = until("the log of the agent as the other tenant's", || {
        let answer = request(fleet.control.http_addr(), "GET", &path, key["key"].as_str(), None)?;
        (answer.0 == 200 && answer.1.contains("linked to the control plane")).then_some(answer.1)
    })
    .unwrap();
    assert!(!shown.contains(&ahead) && !theirs(&shown), "{shown}");
    assert!(files(&fleet.host.state_dir()).contains(&ahead), "the host itself has them still");
}

#[test]
fn a_planted_token_is_in_no_log_and_no_token_of_ours_either() {
    let fleet = Fleet::start(SIMULATED);
    let secret = "0123456789abcdef0123456789abcdef";
    for (number, kind) in [(1, "nkt1"), (2, "nkk1")] {
        done(&fleet, &format!("{kind}.{secret}.7"), number);
    }
    let logs = || files(&fleet.host.state_dir()) + &files(&fleet.control.data_dir());
    let redacted = || logs().matches("\"action_id\":\"[redacted]\"").count();
    until("lines of both actions on both sides", || (redacted() >= 6).then_some(())).unwrap();
    let key = fleet.control.key().unwrap();
    let admin = key.split('.').nth(2).unwrap();
    assert!(!logs().contains(secret) && !logs().contains(admin));
}

#[test]
fn an_agent_that_writes_no_files_says_so_over_the_link() {
    let fleet = Fleet::start("[logs]\nenabled = false\n");
    let path = format!("/v1/logs?agent_id={}", fleet.agent_id);
    let answered = fleet.control.rest("GET", &path, None).unwrap().unwrap();
    assert!(answered.0 == 502 && answered.1.to_string().contains("logs.enabled"), "{answered:?}");
    let nonsense =
        fleet.control.operator(&["logs", "--agent", &fleet.agent_id, "--level", "loud"]).output().unwrap();
    assert_eq!(nonsense.status.code(), Some(2));
}

#[tokio::test]
async fn an_agent_that_does_not_know_the_question_keeps_its_link_and_the_asker_is_told() {
    let control = control();
    let (_host, identity) = enrolled(&control);
    let connection = connect(&identity).await;
    let (sender, mut receiver) = connection.link().await.unwrap();
    let hello = AgentHello { facts: Facts::default(), sent_at_ms: now_ms(), outbox_id: "test".to_owned() };
    sender.room().await.unwrap().send(FromAgent::Hello(hello));
    assert!(matches!(receiver.next().await.unwrap(), Some(Ok(ToAgent::Hello(_)))));
    let (address, key) = (control.http_addr().to_owned(), control.key().unwrap());
    let path = format!("/v1/logs?agent_id={}&q=done&limit=7", identity.agent_id);
    let ask = || {
        let (address, key, path) = (address.clone(), key.clone(), path.clone());
        tokio::task::spawn_blocking(move || request(&address, "GET", &path, Some(&key), None).unwrap())
    };
    let told = async |asked: tokio::task::JoinHandle<(u16, String)>| {
        let (status, body) = asked.await.unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let mut asked_by = async || match receiver.next().await.unwrap() {
        Some(Ok(ToAgent::AskLogs(request))) => request,
        other => panic!("{other:?}"),
    };
    let say = async |request_id: String, answered| {
        sender.room().await.unwrap().send(FromAgent::Logs(LogsAnswer { request_id, answered }));
    };
    let lines = |lines: &[&str]| {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Ok(LogLines { lines, next: None, end: "end".to_owned() })
    };

    let asked = ask();
    let first = asked_by().await;
    assert_eq!((first.parameters["q"].as_str(), first.parameters["limit"].as_str()), ("done", "7"));
    say("of nobody".to_owned(), lines(&["{}"])).await;
    let (status, answer) = told(asked).await;
    assert!(status == 504 && answer["detail"].as_str().unwrap().contains("within 10 s"), "{status} {answer}");

    // The link goes on. What comes too late is for nobody, and what is no JSON is no line.
    let asked = ask();
    let second = asked_by().await;
    say(first.request_id, lines(&["{\"late\":true}"])).await;
    say(second.request_id, lines(&["{\"message\":\"done\"}", "no line"])).await;
    let (status, answer) = told(asked).await;
    assert_eq!((status, &answer["items"]), (200, &json!([{"message": "done"}])), "{answer}");
    let asked = ask();
    say(asked_by().await.request_id, Err("its disk is broken".to_owned())).await;
    let (status, answer) = told(asked).await;
    assert!(status == 502 && answer["detail"].as_str().unwrap().contains("its disk is broken"), "{answer}");
    // A link that ends takes its questions with it.
    let asked = ask();
    asked_by().await;
    drop((sender, receiver, connection));
    assert_eq!(told(asked).await.0, 503);
}
