//! The daemon's log files: written, searched with and without it, followed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Host, send_signal, until};

const SIMULATED: &str = "[providers]\nsimulated = true\n";
const VM: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// What all log files hold.
fn files(host: &Host) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(host.state_dir().join("logs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("edge-agent.") && name.ends_with(".jsonl"), "{name}");
        text.push_str(&std::fs::read_to_string(path).unwrap());
    }
    text
}

/// The lines that a command shows, as JSON.
fn lines(host: &Host, flags: &[&str]) -> Vec<Value> {
    let ran = host.run(&[&["logs", "--json"], flags].concat());
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    ran.stdout().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn has_end(lines: &[Value]) -> bool {
    lines.iter().any(|line| line["message"] == "action succeeded")
}

#[test]
fn an_actions_lines_are_found_by_its_ids_with_the_daemon_and_without() {
    let mut host = Host::running(SIMULATED);
    let done = host.succeed(&host.create_simulated(VM, "told", &json!({})));
    let action_id = done["action_id"].as_str().unwrap().to_owned();
    let trace_id = host.get(&format!("/v1/actions/{action_id}"))["trace_id"].as_str().unwrap().to_owned();
    let by_action: &[&str] = &["--action-id", &action_id];
    let by_trace: &[&str] = &["--trace-id", &trace_id, "--since", "1h", "-q", "action succeeded"];
    until("the action's end in the files", || has_end(&lines(&host, by_action)).then_some(()));
    let found = lines(&host, by_action);
    assert!(found.iter().all(|line| line["action_id"] == *action_id), "{found:?}");
    assert_eq!(lines(&host, by_trace).len(), 1);
    let text = host.run(&["logs", "--action-id", &action_id]);
    assert!(text.stdout().contains("info  executor: action succeeded"), "{}", text.stdout());
    let page = host.get("/v1/logs?limit=2&level=info");
    assert!(page["items"].as_array().unwrap().len() == 2 && page["next_cursor"].is_string(), "{page}");
    let newer = &page["items"][0]["timestamp"].as_str();
    assert!(newer >= &page["items"][1]["timestamp"].as_str(), "the newest comes first: {page}");
    let document = host.run(&["logs", "--output", "json", "--limit", "3"]).json();
    assert_eq!(document["items"].as_array().unwrap().len(), 3);

    host.kill_9();
    assert_eq!(lines(&host, by_action), found, "of the files, after a crash");
    assert_eq!(lines(&host, by_trace).len(), 1);
    let none = host.run(&["logs", "--action-id", "nobody"]);
    assert_eq!((none.code(), none.stdout().as_str()), (0, ""), "{}", none.stderr());
}

#[test]
fn a_token_that_gets_into_a_line_is_in_no_file() {
    let host = Host::running(SIMULATED);
    let secret = "0123456789abcdef0123456789abcdef";
    for kind in ["nkt1", "nkk1"] {
        let action_id = format!("{kind}.{secret}.7");
        let body = json!({"action_type": "MicroVMStop", "action_id": action_id, "params": {"vm_id": VM}});
        let (_, told) = host.apply(&body);
        assert_eq!(told[0]["action_id"], *action_id);
    }
    let redacted = || files(&host).matches("\"action_id\":\"[redacted]\"").count();
    until("the ends of both actions", || (redacted() >= 2).then_some(()));
    assert!(!files(&host).contains(secret) && !host.log().contains(secret));
}

#[test]
fn whoever_follows_sees_new_lines_as_they_come_and_ends_well() {
    let mut host = Host::running(SIMULATED);
    let check = |host: &Host, act: &dyn Fn(&Host)| {
        let command = ["logs", "--follow", "--limit", "1", "--json"];
        let mut child = host.command().args(command).stdout(Stdio::piped()).spawn().unwrap();
        let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
        // The line that was there already says that it follows.
        assert!(shown.next().unwrap().unwrap().starts_with("{\"timestamp\""));
        act(host);
        let new = shown.find(|line| line.as_ref().unwrap().contains("log level changed"));
        assert!(new.is_some(), "the stream ended");
        send_signal(child.id(), "INT");
        assert_eq!(until("its end", || child.try_wait().unwrap()).code(), Some(0));
    };
    check(&host, &|host| assert_eq!(host.run(&["log-level", "info"]).code(), 0));
    // Without a daemon the files are followed, and one that starts is heard.
    host.kill_9();
    let path = std::fs::read_dir(host.state_dir().join("logs")).unwrap().next().unwrap().unwrap().path();
    let line =
        files(&host).lines().find(|line| line.contains("log level changed")).unwrap().to_owned() + "\n";
    check(&host, &|_| {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    });
}

#[test]
fn whoever_follows_misses_and_repeats_nothing_when_the_daemon_ends_or_is_killed() {
    let mut host = Host::running(SIMULATED);
    let mut child =
        host.command().args(["logs", "-f", "--limit", "3", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = vec![shown.next().unwrap().unwrap()];
    for is_killed in [false, true] {
        if is_killed {
            host.kill_9();
        } else {
            assert_eq!(host.stop(), Some(0));
        }
        host.start();
        assert_eq!(host.run(&["log-level", "info"]).code(), 0);
        loop {
            seen.push(shown.next().expect("it goes on").unwrap());
            if seen.last().unwrap().contains("log level changed") {
                break;
            }
        }
    }
    send_signal(child.id(), "INT");
    assert_eq!(until("its end", || child.try_wait().unwrap()).code(), Some(0));
    let all = files(&host);
    let from = all.lines().position(|line| line == seen[0]).unwrap();
    let expected: Vec<&str> = all.lines().skip(from).take(seen.len()).collect();
    assert_eq!(seen, expected);
}

#[test]
fn nonsense_is_refused_with_the_flag_or_the_parameter() {
    let host = Host::running("");
    let check = |flags: &[&str], words: &str| {
        let ran = host.run(&[&["logs"], flags].concat());
        assert!(ran.code() == 2 && ran.stderr().contains(words), "{flags:?}: {}", ran.stderr());
    };
    check(&["--since", "yesterday"], "--since: `yesterday` is not a time");
    check(&["--level", "loud"], "--level: ");
    check(&["--trace-id", "7"], "--trace-id: ");
    check(&["--limit", "0"], "--limit");
    check(&["--since", "1h", "--until", "2h"], "--since: ");
    check(&["-f", "--until", "1h"], "--until: is of pages; whoever follows gets what comes from now on");
    let check = |query: &str, path: &str| {
        let answer = host.request("GET", &format!("/v1/logs?{query}"), "");
        assert!(
            answer.status == 422 && answer.json()["errors"][0]["path"] == path,
            "{query}: {}",
            answer.body
        );
    };
    check("levle=info", "levle");
    check("level=info&level=warn", "level");
    check("limit=0", "limit");
    check("q=", "q");
    check("cursor=7", "cursor");
    check("follow=yes", "follow");
    check("follow=true&limit=1001", "limit");
    check("follow=true&until=1h", "until");
}

#[test]
fn an_agent_without_files_says_so_and_one_that_cannot_write_them_runs() {
    let host = Host::running("[logs]\nenabled = false\n");
    assert!(!host.state_dir().join("logs").exists());
    let answer = host.request("GET", "/v1/logs", "");
    assert!(answer.status == 404 && answer.body.contains("logs.enabled"), "{}", answer.body);
    assert_eq!(host.run(&["logs"]).code(), 1);
    drop(host);

    let mut host = Host::new();
    host.configure(&format!("[logs]\ndir = \"{}/logs\"\n", host.config().display()));
    host.start();
    host.until_logged("no log files are written, lines go to standard error only");
}

#[test]
fn a_second_agent_on_the_same_directory_writes_no_line_there() {
    let host = Host::running("");
    let before = files(&host);
    let second = host.run(&["run", "--metrics-addr", "127.0.0.1:0"]);
    assert!(
        second.code() == 1 && second.stderr().contains("is locked by another agent"),
        "{}",
        second.stderr()
    );
    assert!(files(&host).starts_with(&before) && !files(&host).contains("is locked by another agent"));
}
