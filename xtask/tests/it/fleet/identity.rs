//! Keys and certificates over their life: made, renewed, shown, and never told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::agent::{Host, until};
use xtask::fleet::{ControlPlane, build};

use super::rounds::Fleet;
use super::wire;

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| {
            let is_dir = path.is_dir() && !path.is_symlink();
            if is_dir { files(&path) } else { vec![path] }
        })
        .collect()
}

/// The lines of a private key in PEM that are secret.
fn secret_lines(pem: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(pem).unwrap();
    text.lines().filter(|line| !line.starts_with("-----") && !line.is_empty()).map(str::to_owned).collect()
}

fn serial(host: &Host) -> String {
    let path = host.state_dir().join("identity/current/agent.pem");
    let pem = std::fs::read_to_string(path).unwrap();
    nkudo_pki::certificate_facts(&pem).unwrap().serial
}

#[test]
fn a_certificate_is_renewed_live_and_no_secret_is_ever_told() {
    let programs = build(false).unwrap();
    let flags = ["--heartbeat-interval", "500ms", "--certificate-lifetime", "12s", "--log-level", "debug"];
    let mut control = ControlPlane::new(&programs, &flags).unwrap();
    control.start().unwrap();
    let mut host = Host::new(&programs.edge_agent).unwrap();
    host.configure("log_level = \"debug\"\n").unwrap();
    host.start().unwrap();
    let token = control.token(1).unwrap();
    let enroll = ["enroll", "--control-plane", &control.url(), "--token", &token];
    let agent_id = host.json(&enroll).unwrap()["agent_id"].as_str().unwrap().to_owned();
    control.wait_presence(&agent_id, "online").unwrap();

    let mut secrets = vec![control.key().unwrap(), token];
    let (state, data) = (host.state_dir(), control.data_dir());
    let key = state.join("identity/current/agent.key");
    let (first_serial, pid) = (serial(&host), host.pid());
    let first_key = std::fs::read_to_string(&key).unwrap();
    secrets.extend(
        [data.join("ca.key"), data.join("server.key"), key.clone()].iter().flat_map(|pem| secret_lines(pem)),
    );
    until("the certificate to be renewed", || (serial(&host) != first_serial).then_some(())).unwrap();
    assert_ne!(std::fs::read_to_string(&key).unwrap(), first_key, "a new key comes with a new certificate");
    secrets.extend(secret_lines(&key));
    // Past the life of the first certificate the link is still there: the new one was taken up, by the same process.
    until("the first certificate to expire", || {
        let status = host.json(&["status"]).ok()?;
        let expires = status["certificate"]["expires_at"].as_str()?.to_owned();
        let agent = control.get(&format!("/v1/agents/{agent_id}")).ok()?;
        (agent["last_seen"].as_str()? > expires.as_str() || serial(&host) != first_serial).then_some(())
    })
    .unwrap();
    let renewed =
        control.operator(&["renew", "--state-dir"]).arg(&state).arg("--output").arg("json").output().unwrap();
    let renewed: Value = serde_json::from_slice(&renewed.stdout).unwrap();
    assert_eq!(renewed["serial"], serial(&host), "nkudo renew does the same by hand");
    control.wait_presence(&agent_id, "online").unwrap();
    assert_eq!(host.pid(), pid);
    assert_eq!(host.json(&["verify-heartbeat"]).unwrap()["ok"], true);
    secrets.extend(secret_lines(&key));

    // Private is what only its owner reads.
    for (dir, names) in
        [(&state, &["agent.key"][..]), (&data, &["ca.key", "server.key", "admin.token", "nkudo.db"][..])]
    {
        for name in names {
            let found: Vec<PathBuf> =
                files(dir).into_iter().filter(|path| path.file_name().unwrap() == *name).collect();
            assert!(!found.is_empty(), "{name} is somewhere");
            for path in found {
                let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
            }
        }
    }
    // No secret is in a log, in an answer, or in the books.
    let mut places: Vec<(String, String)> = [control.log(), host.log()]
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect();
    for path in ["/v1/agents", "/v1/keys", "/v1/enrollment-tokens", "/v1/actions", "/v1/health"] {
        places.push((path.to_owned(), control.get(path).unwrap().to_string()));
    }
    for name in ["nkudo.db", "nkudo.db-wal"] {
        let bytes = std::fs::read(data.join(name)).unwrap();
        places.push((name.to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    assert!(places[0].1.contains("\"level\":\"debug\"") && places[1].1.contains("\"level\":\"debug\""));
    for secret in &secrets {
        for (place, text) in &places {
            assert!(!text.contains(secret.as_str()), "a secret is in {place}");
        }
    }

    let left = control.operator(&["unenroll", "--state-dir"]).arg(&state).output().unwrap();
    assert!(left.status.success(), "{}", String::from_utf8_lossy(&left.stderr));
    assert_eq!(control.list("/v1/agents").unwrap(), Vec::<Value>::new());
    until("the daemon to notice", || (host.json(&["status"]).ok()?["enrolled"] == false).then_some(()))
        .unwrap();
    control.stop().unwrap();
    host.stop().unwrap();
}

#[test]
fn a_private_key_is_never_on_the_wire() {
    let programs = build(false).unwrap();
    let mut control = ControlPlane::new(&programs, &[]).unwrap();
    control.start().unwrap();
    let host = Host::new(&programs.edge_agent).unwrap();
    let token = control.token(1).unwrap();
    // Everything that the agent sends is read in the clear on its way.
    let heard = wire::listen(&control);
    let url = format!("https://{}", heard.addr());
    let enrolled = host.json(&["enroll", "--control-plane", &url, "--token", &token]).unwrap();
    assert!(enrolled["agent_id"].is_string(), "{enrolled}");
    let sent = heard.bytes();
    let key = host.state_dir().join("identity/current/agent.key");
    let contains = |needle: &[u8]| sent.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"BEGIN CERTIFICATE REQUEST"), "the request was heard");
    assert!(contains(token.as_bytes()), "and the token");
    assert!(!contains(b"PRIVATE KEY"));
    for line in secret_lines(&key) {
        assert!(!contains(line.as_bytes()), "a line of the private key");
    }
    // The secret number itself: 32 bytes of the PKCS#8 structure, after the header of its octet string.
    let scalar = wire::p256_scalar(&std::fs::read_to_string(&key).unwrap());
    assert!(!contains(&scalar), "the secret number");
    control.stop().unwrap();
}

#[test]
fn each_step_of_the_way_fails_with_its_own_words() {
    let mut fleet = Fleet::start("[providers]\nsimulated = true\n");
    let says = |host: &Host| host.json(&["verify-heartbeat"]).unwrap()["error"].as_str().unwrap().to_owned();
    let names = fleet.host.state_dir().join("identity/current/identity.json");
    let right = std::fs::read_to_string(&names).unwrap();
    let point_at = |target: &str| {
        let mut value: Value = serde_json::from_str(&right).unwrap();
        value["control_plane"] = target.into();
        std::fs::write(&names, value.to_string()).unwrap();
    };
    let port = fleet.control.url().rsplit(':').next().unwrap().to_owned();
    point_at("https://no-such-host.invalid:8443");
    assert!(says(&fleet.host).starts_with("DNS: the name no-such-host.invalid"), "{}", says(&fleet.host));
    point_at("https://127.0.0.1:1");
    assert!(says(&fleet.host).starts_with("TCP: no connection to 127.0.0.1:1"), "{}", says(&fleet.host));
    let http = fleet.control.http_addr().to_owned();
    point_at(&format!("https://{http}"));
    assert!(says(&fleet.host).contains("does not speak TLS 1.3"), "{}", says(&fleet.host));
    // The same address, in a form that the certificate does not name.
    point_at(&format!("https://[::ffff:127.0.0.1]:{port}"));
    let wrong_name = says(&fleet.host);
    assert!(
        wrong_name.starts_with("TLS: ") && wrong_name.contains("not for ::ffff:127.0.0.1"),
        "{wrong_name}"
    );
    std::fs::write(&names, &right).unwrap();
    assert_eq!(fleet.host.json(&["verify-heartbeat"]).unwrap()["ok"], true);

    // A control plane that was set up anew at the same place knows neither the authority nor the agent.
    fleet.control.stop().unwrap();
    std::fs::remove_dir_all(fleet.control.data_dir()).unwrap();
    fleet.control.start().unwrap();
    let other = says(&fleet.host);
    assert!(other.contains("is of another authority than this host enrolled with"), "{other}");
    let forced = fleet.control.token(1).unwrap();
    let url = fleet.control.url();
    let enroll = ["enroll", "--control-plane", &url, "--token", &forced, "--force"];
    let agent_id = fleet.host.json(&enroll).unwrap()["agent_id"].as_str().unwrap().to_owned();
    fleet.control.wait_presence(&agent_id, "online").unwrap();

    // An operator takes it out: the agent learns why it is refused.
    fleet.control.operator_says(&["agents", "unenroll", &agent_id]).unwrap();
    let refused = says(&fleet.host);
    assert!(refused.starts_with("authorisation: ") && refused.contains("was revoked"), "{refused}");
    let status = until("status to tell why", || {
        let output = fleet.host.command(&["status", "--output", "json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let told = status["connection"]["error"].is_string();
        told.then(|| {
            assert_eq!(output.status.code(), Some(1), "{status}");
            status
        })
    })
    .unwrap();
    assert_eq!(status["certificate"]["valid"], false, "{status}");
    assert!(status["connection"]["error"].as_str().unwrap().contains("unenrolled"), "{status}");
}
