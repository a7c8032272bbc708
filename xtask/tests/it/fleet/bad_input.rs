//! What is wrong is refused with a sentence, and nothing else suffers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nkudo_agent::identity::{Identity, IdentityDir};
use nkudo_pki::agent_client;
use nkudo_rpc::message::{AgentHello, Facts, FromAgent, Heartbeat, ToAgent};
use nkudo_rpc::{Connection, RpcErrorKind};
use serde_json::{Value, json};
use xtask::agent::{Host, until, vm_id};
use xtask::fleet::{ControlPlane, build, request};

use super::rounds::pause;

/// How long a client that does not ask, or asks too slowly, is borne with, with some room.
const CUT_WITHIN: Duration = Duration::from_secs(16);

pub(super) fn control() -> ControlPlane {
    let mut control = ControlPlane::new(&build(false).unwrap(), &[]).unwrap();
    control.start().unwrap();
    control
}

fn host() -> Host {
    Host::new(&build(false).unwrap().edge_agent).unwrap()
}

/// What `enroll` complains of.
fn complaint(host: &Host, url: &str, token: &str) -> String {
    let output = host.command(&["enroll", "--control-plane", url, "--token", token]).output().unwrap();
    assert!(!output.status.success(), "it was let in");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_token_lets_nobody_in_who_should_not() {
    let (control, other, host) = (control(), control(), host());
    let check = |token: &str, sentence: &str| {
        let told = complaint(&host, &control.url(), token);
        assert!(told.contains(sentence), "{told}\nwanted: {sentence}");
    };
    let used = control.token(1).unwrap();
    control.enrol(&self::host()).unwrap();
    let first = self::host();
    first.json(&["enroll", "--control-plane", &control.url(), "--token", &used]).unwrap();
    check(&used, "the token has been used");
    let create = ["token", "create", "--ttl", "1s", "--output", "json"];
    let short: Value = serde_json::from_slice(&control.command(&create).output().unwrap().stdout).unwrap();
    let short = short["token"].as_str().unwrap();
    pause(Duration::from_millis(1_100));
    check(short, "the token has expired");
    let right = control.token(1).unwrap();
    let mut tampered = right.clone();
    let swapped = if tampered.remove(30) == 'a' { 'b' } else { 'a' };
    tampered.insert(30, swapped);
    check(&tampered, "cut off or altered on its way");
    check("hunter2", "this is not an enrolment token");
    check(&control.key().unwrap(), "it is an API key");
    check(&other.token(1).unwrap(), "the token was made for");
    let token_id = right.split('.').nth(1).unwrap();
    control.rest("DELETE", &format!("/v1/enrollment-tokens/{token_id}"), None).unwrap();
    check(&right, "the token is not known here");
    let told = complaint(&host, &other.url(), &control.token(1).unwrap());
    assert!(told.contains("is the address right, and the token of this control plane?"), "{told}");
    for url in ["http://127.0.0.1:1", "127.0.0.1:8443", "https://", "https://a/b", "https://u@h"] {
        let told = complaint(&host, url, &control.token(1).unwrap());
        assert!(told.contains("write it like https://cp.example.com:8443"), "{url}: {told}");
    }
    assert!(!host.state_dir().join("identity/current").exists(), "nothing is left of what failed");
    assert_eq!(control.list("/v1/agents").unwrap().len(), 2);
}

#[test]
fn a_request_that_is_wrong_is_told_what_is_wrong() {
    let control = control();
    let host = host();
    let agent_id = control.enrol(&host).unwrap();
    let path = format!("/v1/agents/{agent_id}/actions");
    let pause_vm = |action_id: &str, vm: u32| json!({"action_id": action_id, "action_type": "MicroVMPause", "params": {"vm_id": vm_id(vm)}});
    let ask = |path: &str, body: &Value| control.rest("POST", path, Some(body)).unwrap().unwrap();
    assert_eq!(ask(&path, &pause_vm("x", 1)).0, 202);
    assert_eq!(ask(&path, &pause_vm("x", 1)), (202, json!({"action_id": "x"})), "the same again");
    assert_eq!(ask(&path, &pause_vm("x", 2)).0, 409, "another body");
    let second = control.enrol(&self::host()).unwrap();
    assert_eq!(ask(&format!("/v1/agents/{second}/actions"), &pause_vm("x", 1)).0, 409, "another agent");
    let nobody = format!("/v1/agents/{}/actions", vm_id(7));
    let (status, told) = ask(&nobody, &pause_vm("y", 1));
    assert_eq!((status, told["detail"].as_str().unwrap().contains("nkudo agents")), (404, true));
    let large = json!({"action_type": "x".repeat(3 << 20)});
    assert_eq!(ask(&path, &large).0, 413);
    assert_eq!(control.rest("POST", "/v1/actions/x/cancel", None).unwrap().unwrap().0, 202);
    assert_eq!(control.get("/v1/actions/x").unwrap()["status"], "cancelled", "it had not been sent");
    assert_eq!(control.rest("POST", "/v1/actions/x/cancel", None).unwrap().unwrap().0, 409);

    // A path that is no text.
    let key = control.key().unwrap();
    for (key, expected) in [(None, 401), (Some(key.as_str()), 422)] {
        let (status, told) = request(control.http_addr(), "GET", "/v1/actions/%ff%fe", key, None).unwrap();
        assert_eq!(status, expected, "{told}");
        assert!(serde_json::from_str::<Value>(&told).unwrap()["detail"].is_string(), "{told}");
    }

    // Ten megabytes of headers end their own connection and nothing else.
    let mut stream = TcpStream::connect(control.http_addr()).unwrap();
    stream.write_all(b"GET /v1/agents HTTP/1.1\r\nhost: x\r\n").unwrap();
    let line = format!("x-a: {}\r\n", "a".repeat(1 << 20));
    let sent = (0..10).all(|_| stream.write_all(line.as_bytes()).is_ok());
    assert!(!sent, "the connection is ended while they come");
    control.get("/v1/agents").unwrap();
}

#[test]
fn a_client_that_dawdles_is_cut_and_others_are_answered_meanwhile() {
    let control = control();
    let tls = control.url().trim_start_matches("https://").to_owned();
    let cut_after = |address: &str, first: &[u8], drip: bool| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(first).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let began = Instant::now();
        let mut byte = [0];
        while began.elapsed() < CUT_WITHIN * 2 {
            let read = stream.read(&mut byte);
            if matches!(read, Ok(0))
                || matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
            {
                break;
            }
            if drip && stream.write_all(b"a").is_err() {
                break;
            }
        }
        began.elapsed()
    };
    std::thread::scope(|scope| {
        let http = control.http_addr();
        let slow: Vec<_> = vec![
            ("silent, http", scope.spawn(|| cut_after(http, b"", false))),
            ("silent, tls", scope.spawn(|| cut_after(&tls, b"", false))),
            ("a byte now and then in the head", scope.spawn(|| cut_after(http, b"GET / HTTP/1.1\r\nx: ", true))),
            (
                "a byte now and then in the body",
                scope.spawn(|| {
                    let key = control.key().unwrap();
                    let head = format!(
                        "POST /v1/sites HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 999\r\n\r\n"
                    );
                    cut_after(http, head.as_bytes(), true)
                }),
            ),
        ];
        // The others do not wait.
        let began = Instant::now();
        control.get("/v1/agents").unwrap();
        assert!(began.elapsed() < Duration::from_secs(5));
        for (what, cut) in slow {
            let took = cut.join().unwrap();
            assert!(took < CUT_WITHIN, "{what}: cut only after {took:?}");
        }
    });
}

/// A host that is enrolled and has no agent: the test speaks in its place.
pub(super) fn enrolled(control: &ControlPlane) -> (Host, Identity) {
    let host = host();
    control.enrol(&host).unwrap();
    let identity = IdentityDir::of(&host.state_dir()).load().unwrap().unwrap();
    (host, identity)
}

pub(super) async fn connect(identity: &Identity) -> Connection {
    let tls = agent_client(&identity.ca_pem, &identity.certificate_pem, &identity.key).unwrap();
    Connection::open(&identity.control_plane, tls, Duration::from_secs(10)).await.unwrap()
}

fn heartbeat(sent_at_ms: i64, health: String) -> Heartbeat {
    Heartbeat { sent_at_ms, health, version: "test".to_owned(), audit_head: None }
}

pub(super) fn now_ms() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn an_agent_that_misbehaves_harms_only_itself() {
    let control = control();
    let (_host, identity) = enrolled(&control);
    let connection = connect(&identity).await;
    // A message over the limit is refused, and the connection goes on.
    let refused = connection.heartbeat(heartbeat(now_ms(), "x".repeat(5 << 20))).await.unwrap_err();
    assert!(matches!(refused.kind, RpcErrorKind::Exhausted | RpcErrorKind::Invalid), "{refused:?}");
    connection.heartbeat(heartbeat(now_ms(), "healthy".to_owned())).await.unwrap();
    // A clock a day ahead is seen for what it is.
    connection.heartbeat(heartbeat(now_ms() + 86_400_000, "healthy".to_owned())).await.unwrap();
    let agent = control.get(&format!("/v1/agents/{}", identity.agent_id)).unwrap();
    let skew = agent["clock_skew_ms"].as_i64().unwrap();
    assert!((86_390_000..=86_410_000).contains(&skew), "{skew}");

    // A link without a hello ends; so does one that begins with something else.
    let (sender, mut receiver) = connection.link().await.unwrap();
    sender.room().await.unwrap().send(FromAgent::Goodbye { reason: "x".to_owned() });
    assert_eq!(receiver.next().await.unwrap_err().kind, RpcErrorKind::Invalid);
    let (_silent, mut receiver) = connection.link().await.unwrap();
    let ended = tokio::time::timeout(CUT_WITHIN, receiver.next()).await.expect("it ends by itself");
    assert_eq!(ended.unwrap_err().kind, RpcErrorKind::Deadline);

    // One that never reads: whatever is asked for it waits in the books, and the others are served.
    let (sender, receiver) = connection.link().await.unwrap();
    let hello = AgentHello { facts: Facts::default(), sent_at_ms: now_ms(), outbox_id: "test".to_owned() };
    sender.room().await.unwrap().send(FromAgent::Hello(hello));
    let path = format!("/v1/agents/{}/actions", identity.agent_id);
    let before = rss_bytes(control.pid());
    for number in 0..500 {
        let body = json!({"action_id": format!("n{number}"), "action_type": "MicroVMPause",
            "params": {"vm_id": vm_id(number)}});
        assert_eq!(control.rest("POST", &path, Some(&body)).unwrap().unwrap().0, 202);
    }
    let grown = rss_bytes(control.pid()).saturating_sub(before);
    assert!(grown < 32 << 20, "the server grew by {grown} bytes");
    let (_other_host, other) = enrolled(&control);
    connect(&other).await.heartbeat(heartbeat(now_ms(), "healthy".to_owned())).await.unwrap();
    drop((sender, receiver));

    // The next link gets all of it, within the window.
    let (sender, mut receiver) = connection.link().await.unwrap();
    let hello = AgentHello { facts: Facts::default(), sent_at_ms: now_ms(), outbox_id: "test".to_owned() };
    sender.room().await.unwrap().send(FromAgent::Hello(hello));
    assert!(matches!(receiver.next().await.unwrap(), Some(Ok(ToAgent::Hello(_)))));
    let mut delivered = 0;
    while let Ok(Ok(Some(Ok(ToAgent::Deliver(_))))) =
        tokio::time::timeout(Duration::from_secs(1), receiver.next()).await
    {
        delivered += 1;
    }
    assert_eq!(delivered, 64, "no more than may be unanswered");

    // Unenrolled, it is refused on the connection that is still open, and on its link.
    control.rest("POST", "/v1/unenroll", Some(&json!({"agent_id": identity.agent_id}))).unwrap();
    let refused = connection.heartbeat(heartbeat(now_ms(), "healthy".to_owned())).await.unwrap_err();
    assert_eq!(refused.kind, RpcErrorKind::Unauthenticated);
    assert!(refused.message.contains("was revoked"), "{refused}");
    let ended = receiver.next().await.unwrap_err();
    assert_eq!(ended.kind, RpcErrorKind::Unauthenticated);
    let actions = control.list("/v1/actions").unwrap();
    assert_eq!(actions.len(), 500);
    assert!(
        actions.iter().all(|action| ["failure", "cancelled"].contains(&action["status"].as_str().unwrap()))
    );
}

fn rss_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn a_second_server_is_refused_and_the_first_goes_on() {
    let control = control();
    let output = control
        .command(&["serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("pid {}", control.pid())) && told.contains("--data-dir"), "{told}");
    let other = ControlPlane::new(&build(false).unwrap(), &[]).unwrap();
    // A mistyped directory is found out at once.
    for is_new in [true, false] {
        let output = other.command(&["token", "create"]).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && told.contains("a new one was made") == is_new, "{told}");
    }
    let taken = control.url().trim_start_matches("https://").to_owned();
    let output =
        other.command(&["serve", "--listen", &taken, "--http-listen", "127.0.0.1:0"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("choose another with --listen"), "{told}");
    let output = other.command(&["serve", "--listen", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    control.get("/v1/agents").unwrap();
}

#[test]
fn a_data_directory_that_is_damaged_or_of_a_later_version_stops_the_server_with_a_sentence() {
    let mut control = control();
    control.enrol(&host()).unwrap();
    control.stop().unwrap();
    let database = control.data_dir().join("nkudo.db");
    let kept = std::fs::read(&database).unwrap();
    std::fs::write(
        &database,
        "this is no database, though it is long enough to have a header of one of them",
    )
    .unwrap();
    let output = control
        .command(&["serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("the database cannot be"), "{told}");
    std::fs::write(&database, &kept).unwrap();
    // An authority that is lost, in half or whole, is not made anew behind the back of the agents that trust it.
    for (gone, told_of) in
        [(&["ca.key"][..], "ca.key"), (&["ca.pem"], "ca.pem"), (&["ca.key", "ca.pem"], "ca.pem")]
    {
        let away =
            |name: &str| (control.data_dir().join(name), control.data_dir().join(format!("{name}.away")));
        let kept = gone.iter().map(|name| away(name)).collect::<Vec<_>>();
        kept.iter().for_each(|(here, away)| std::fs::rename(here, away).unwrap());
        for command in
            [&["serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"][..], &["token", "create"]]
        {
            let output = control.command(command).output().unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{gone:?} {told}");
            assert!(
                told.contains(&format!("{told_of} is missing")) && told.contains("from a backup"),
                "{told}"
            );
        }
        kept.iter().for_each(|(here, away)| std::fs::rename(away, here).unwrap());
    }
    control.start().unwrap();
    until("the books as they were", || control.get("/v1/agents").ok()).unwrap();
}
