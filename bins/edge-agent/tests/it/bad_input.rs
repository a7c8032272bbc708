//! Everything a user can get wrong: a sentence with the remedy, the right exit code, nothing lost.

use serde_json::{Value, json};

use crate::harness::{Host, on, until, vm_id};

/// Runs a command that must be refused with this exit code and a sentence that has all of these parts.
fn check(host: &Host, args: &[&str], code: i32, parts: &[&str]) {
    let ran = host.run(args);
    assert_eq!(ran.code(), code, "{args:?}: {}{}", ran.stdout(), ran.stderr());
    for part in parts {
        assert!(ran.stderr().contains(part), "{args:?}: {:?} lacks {part:?}", ran.stderr());
    }
    assert!(!ran.stderr().contains("panicked"), "{}", ran.stderr());
}

#[test]
fn flags_and_files_are_refused_before_anything_is_done() {
    let host = Host::new();
    check(&host, &["run", "--log-level", "loud"], 2, &["--log-level", "`loud`", "debug, info, warn"]);
    check(&host, &["run", "--log-format", "xml"], 2, &["--log-format", "text", "json"]);
    check(&host, &["run", "--metrics-addr", "nowhere"], 2, &["--metrics-addr", "nowhere"]);
    check(&host, &["run", "--config", "/nonexistent.toml"], 2, &["/nonexistent.toml", "cannot be read"]);
    check(&host, &["run", "--colour"], 2, &["--colour"]);
    check(&host, &["frobnicate"], 2, &["frobnicate"]);
    host.configure("log_level = \"info\"\nlog_levle = \"info\"\n");
    check(&host, &["run"], 2, &["edge-agent.toml:2", "`log_levle`", "did you mean `log_level`?"]);
    host.configure("sample_interval = \"soon\"\n");
    check(&host, &["status"], 2, &["edge-agent.toml:1", "sample_interval", "500ms, 5s, 2m or 7d"]);
    assert!(!host.state_dir().exists(), "nothing was done");
}

#[test]
fn a_secret_in_the_url_of_the_control_plane_is_not_repeated() {
    let host = Host::new();
    for url in
        ["https://u:hunter2@h:8443?t=hunter2", "ftp://u:hunter2@h", "https://h?t=hunter2", "u:hunter2@ h"]
    {
        let args = ["enroll", "--control-plane", url, "--token", "nkt1.x"];
        check(&host, &args, 2, &["https://cp.example.com:8443"]);
        assert!(!host.run(&args).stderr().contains("hunter2"), "{url}");
    }
}

#[test]
fn the_environment_is_refused_by_its_name() {
    let host = Host::new();
    let output = host.command().args(["status"]).env("NKUDO_EDGE_LOG_LEVEL", "loud").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("NKUDO_EDGE_LOG_LEVEL"), "{said}");
}

#[test]
fn what_cannot_be_started_says_why() {
    let host = Host::running("");
    let address = host.metrics_address().unwrap();
    let other = Host::new();
    check(&other, &["run", "--metrics-addr", &address], 1, &[&address, "already in use", "--metrics-addr"]);
    check(
        &host,
        &["run", "--metrics-addr", "127.0.0.1:0"],
        1,
        &["locked by another agent", "pid", "--state-dir"],
    );
    let file = other.path("file");
    std::fs::write(&file, "").unwrap();
    let state_dir = format!("--state-dir={}", file.display());
    check_plain(&[&state_dir, "run"], 1, &["is not a directory"]);
    let below = format!("--state-dir={}/below", file.display());
    check_plain(&[&below, "run"], 1, &["cannot be made", "--state-dir"]);
    check_plain(&["--state-dir=/proc/nkudo", "run"], 1, &["cannot be made", "--state-dir"]);
    check_plain(&["--state-dir=/nonexistent/nkudo", "status"], 1, &["is not there", "--state-dir"]);
    assert_eq!(host.get("/v1/status")["daemon_running"], true, "the first agent is not disturbed");
}

#[test]
fn a_journal_that_cannot_be_opened_ends_the_agent_at_once() {
    let host = Host::new();
    std::fs::create_dir_all(host.state_dir()).unwrap();
    std::fs::write(host.state_dir().join("journal"), "not a directory").unwrap();
    check(&host, &["run", "--metrics-addr", "127.0.0.1:0"], 1, &["cannot open the journal in", "journal"]);
    let file = host.path("delete.json");
    std::fs::write(&file, on("MicroVMDelete", &vm_id(1)).to_string()).unwrap();
    check(&host, &["apply", "-f", file.to_str().unwrap()], 1, &["cannot open the journal in", "journal"]);
}

fn check_plain(args: &[&str], code: i32, parts: &[&str]) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_edge-agent")).args(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "{args:?}: {said:?} lacks {part:?}");
    }
}

#[test]
fn a_wrong_apply_file_does_nothing_at_all() {
    let host = Host::running("");
    let good = host.create(&vm_id(1), "good");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[key] = value;
        body
    };
    let cases = [
        (with("/action_type", json!("MicroVMCraete")), "did you mean `MicroVMCreate`?"),
        (with("/params/colour", json!("red")), "colour: is not a known field"),
        (with("/params/vcpus", json!(0)), "params.vcpus: must be a whole number from 1"),
        (with("/params/vm_id", json!("web-1")), "is not a UUID"),
        (with("/params/vm_name", json!("a/b")), "params.vm_name: a name is 1 to 64"),
        (with("/params/vm_name", json!("a".repeat(300))), "params.vm_name: a name is 1 to 64"),
        (with("/params/nics", json!([{"bridge": "br0"}])), "networks are not available in this version"),
        (with("/params/kernel", json!("relative")), "params.kernel: a path is absolute"),
        (
            with("/params/kernel", json!(format!("/{}", "k".repeat(1 << 19)))),
            "params.kernel: a path is absolute",
        ),
        (with("/timeout_seconds", json!("soon")), "timeout_seconds: must be a whole number"),
    ];
    let file = host.path("wrong.json");
    for (body, sentence) in cases {
        std::fs::write(&file, json!([good, body]).to_string()).unwrap();
        check(&host, &["apply", "-f", file.to_str().unwrap()], 2, &["wrong.json", "[1]", sentence]);
    }
    let twice = good.to_string().replace("\"vm_id\":", &format!("\"vm_id\":\"{}\",\"vm_id\":", vm_id(2)));
    std::fs::write(&file, twice).unwrap();
    check(&host, &["apply", "-f", file.to_str().unwrap()], 2, &["params.vm_id: is given twice"]);
    std::fs::write(&file, "{").unwrap();
    check(&host, &["apply", "-f", file.to_str().unwrap()], 2, &["is not JSON"]);
    check(&host, &["apply", "-f", "/nonexistent.json"], 2, &["/nonexistent.json", "cannot be read"]);
    assert_eq!(host.get("/v1/vms")["items"], json!([]), "nothing ran");
    assert_eq!(host.get("/v1/actions")["items"], json!([]), "nothing was admitted");
}

#[test]
fn what_the_host_cannot_do_is_an_outcome() {
    let host = Host::running("");
    let id = vm_id(2);
    let with = |key: &str, value: Value| {
        let mut body = host.create(&id, "wrong");
        body["params"][key] = value;
        body
    };
    let not_a_kernel = host.path("kernel.txt");
    std::fs::write(&not_a_kernel, "this is a text, not a kernel").unwrap();
    let cases = [
        (with("kernel", json!("/nonexistent/kernel")), "kernel /nonexistent/kernel cannot be read"),
        (with("kernel", json!(not_a_kernel)), "is neither an ELF image"),
        (with("memory_bytes", json!(1_u64 << 50)), "bytes of memory and this host has"),
        (
            with("provider", json!("cloud-hypervisor")),
            "provider cloud-hypervisor cannot be used on this host",
        ),
        (with("initramfs", json!("/nonexistent/initrd")), "/nonexistent/initrd"),
        (with("disks", json!([{"path": "/nonexistent/disk", "format": "raw"}])), "/nonexistent/disk"),
    ];
    for (body, sentence) in cases {
        let error = host.fail(&body);
        assert!(error.contains(sentence), "{error:?} lacks {sentence:?}");
        assert_eq!(host.get("/v1/vms")["items"], json!([]), "a failed create leaves no vm");
        host.assert_nothing_left();
    }
    for action_type in ["MicroVMStart", "MicroVMStop", "MicroVMPause", "MicroVMResume"] {
        let error = host.fail(&on(action_type, &id));
        assert!(error.contains("no such vm on this host"), "{error}");
    }
    host.succeed(&host.create(&id, "right"));
    assert!(host.fail(&with("vcpus", json!(2))).contains("exists with another specification"));
    assert!(host.fail(&host.create(&vm_id(3), "right")).contains("another vm on this host has that name"));
    host.succeed(&on("MicroVMDelete", &id));
}

#[test]
fn a_missing_hypervisor_is_named_with_its_remedy() {
    let host = Host::running("[qemu]\nprogram = \"/nonexistent/qemu\"\n");
    let error = host.fail(&host.create(&vm_id(4), "none"));
    assert!(error.contains("/nonexistent/qemu was not found; install it"), "{error}");
    assert_eq!(host.get("/v1/vms")["items"], json!([]));
}

#[test]
fn the_socket_answers_nonsense_with_problems() {
    let host = Host::running("");
    let problem = |method: &str, path: &str, body: &str, status: u16, part: &str| {
        let answer = host.request(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert!(answer.body.contains(part), "{} lacks {part}", answer.body);
    };
    problem("POST", "/v1/actions", "{", 400, "not JSON");
    problem("POST", "/v1/actions", "[]", 422, "must be an object");
    problem("POST", "/v1/actions", "{\"action_type\":\"Nope\"}", 422, "\"path\":\"action_type\"");
    problem("POST", "/v1/actions", "{\"params\":{\"a\":1,\"a\":2}}", 422, "\"path\":\"params.a\"");
    problem("POST", "/v1/actions", "{\"params\":{\"a\":1,\"a\":2}}", 422, "is given twice");
    problem("PUT", "/v1/log-level", "{\"level\":\"info\",\"level\":\"debug\"}", 422, "\"path\":\"level\"");
    problem("POST", "/v1/actions", &"x".repeat(2 << 20), 413, "1048576");
    problem("GET", "/v1/nothing", "", 404, "/v1/nothing");
    problem("PUT", "/v1/actions", "", 405, "PUT");
    problem("GET", "/v1/actions/unknown", "", 404, "unknown");
    problem("GET", "/v1/actions?statsu=x", "", 422, "did you mean `status`?");
    problem("GET", "/v1/vms/nope", "", 422, "is not a UUID");
    problem("GET", &format!("/v1/vms/{}", vm_id(9)), "", 404, "no vm");
    problem("PUT", "/v1/log-level", "{\"level\":\"loud\"}", 422, "loud");
}

#[test]
fn a_bad_reload_changes_nothing_and_a_good_one_what_it_can() {
    let host = Host::running("log_level = \"info\"\n");
    host.configure("log_level = \"loud\"\n");
    host.signal("HUP");
    until("the refusal", || host.log().contains("configuration not reloaded").then_some(()));
    assert_eq!(host.get("/v1/log-level")["level"], "info");
    host.configure("log_level = \"debug\"\nbridge = \"br7\"\n");
    host.signal("HUP");
    until("the reload", || host.log().contains("configuration reloaded").then_some(()));
    assert_eq!(host.get("/v1/log-level")["level"], "debug");
    let log = host.log();
    let warned = log.lines().find(|line| line.contains("takes effect at the next start")).unwrap();
    assert!(warned.contains("\"bridge\""), "{warned}");
}

#[test]
fn idle_clients_keep_nobody_out() {
    use std::io::Write;
    let host = Host::running("");
    let socket = host.state_dir().join("agent.sock");
    let metrics = host.metrics_address().unwrap();
    let mut idle = Vec::new();
    for _ in 0..150 {
        let mut client = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        write!(client, "GET /v1/st").unwrap();
        let mut scraper = std::net::TcpStream::connect(&metrics).unwrap();
        write!(scraper, "GET /metr").unwrap();
        idle.push((client, scraper));
    }
    assert_eq!(host.get("/v1/status")["daemon_running"], true);
    assert_eq!(host.metrics("").status, 200);
    // Each idle one is closed after its deadline.
    for (client, _) in &mut idle {
        client.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        let mut rest = Vec::new();
        std::io::Read::read_to_end(client, &mut rest).unwrap();
    }
}

#[test]
fn a_standard_error_that_nobody_reads_stops_nothing() {
    let mut host = Host::new();
    host.configure("[providers]\nsimulated = true\n");
    let mut daemon = host
        .command()
        .args(["run", "--metrics-addr", "127.0.0.1:0", "--log-level", "debug"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let unread = daemon.stderr.take();
    host.adopt_daemon(daemon);
    let id = vm_id(40);
    host.succeed(&host.create_simulated(&id, "chatty", &json!({})));
    // A pipe holds 64 KiB; each of these is some lines of 200 bytes and more.
    for _ in 0..200 {
        for action_type in ["MicroVMPause", "MicroVMResume"] {
            assert_eq!(host.request("POST", "/v1/actions", &on(action_type, &id).to_string()).status, 202);
        }
    }
    until("the actions", || (host.get("/v1/status")["queue_depth"] == 0).then_some(()));
    assert!(host.sample("nkudo_log_lines_written_total{level=\"info\"}").unwrap() > 400.0);
    assert_eq!(host.stop(), Some(0));
    drop(unread);
}

#[test]
fn a_journal_that_cannot_be_read_to_its_end_is_told_and_stays_as_it_is() {
    let host = Host::new();
    let journal = host.state_dir().join("journal");
    std::fs::create_dir_all(&journal).unwrap();
    let segment = journal.join("00000000000000000001.seg");
    std::fs::write(&segment, [7; 64]).unwrap();
    let told = ["00000000000000000001.seg", "may lack actions and VMs", "when it starts"];
    // A host that is not enrolled has a status that is not fine.
    for (command, code) in [("vms", 0), ("executions", 0), ("status", 1)] {
        check(&host, &[command], code, &told);
    }
    assert_eq!(std::fs::read(&segment).unwrap(), [7; 64]);
}
