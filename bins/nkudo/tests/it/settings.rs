//! Where the control plane is, who asks, and what is refused before anybody is asked.

use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{AGENT, ControlPlane, Ran, TOKEN, VM, command, file, page, problem};

/// A control plane without VMs.
fn empty() -> ControlPlane {
    ControlPlane::new(|_| page(&[], None))
}

/// The token that came with the one request.
fn bearer(control_plane: &ControlPlane) -> Option<String> {
    let mut asked = control_plane.asked();
    assert_eq!(asked.len(), 1);
    asked.remove(0).authorization.map(|header| header.strip_prefix("Bearer ").unwrap().to_owned())
}

#[test]
fn a_flag_is_over_the_environment_and_that_over_the_file() {
    for given in 1..=3 {
        let planes = [empty(), empty(), empty()];
        let (_dir, config) = file("nkudo.toml", &format!("server = \"{}\"\n", planes[0].url()));
        let mut command = command(&["vms"]);
        command.arg("--config").arg(&config);
        if given >= 2 {
            command.env("NKUDO_SERVER", planes[1].url());
        }
        if given >= 3 {
            command.args(["--server", &planes[2].url()]);
        }
        Ran::of(&mut command).expect(0);
        let asked = planes.each_ref().map(|plane| plane.lines().len());
        let mut expected = [0; 3];
        expected[given - 1] = 1;
        assert_eq!(asked, expected);
    }
}

#[test]
fn a_token_comes_from_the_nearest_layer() {
    let (_dir, first) = file("first.token", "from-the-first\n");
    let (_dir, second) = file("second.token", "  from-the-second  \n");
    let (_dir, config) = file("nkudo.toml", &format!("token_file = \"{}\"\n", first.display()));
    let check = |token: Option<&str>, change: &dyn Fn(&mut std::process::Command)| {
        let control_plane = empty();
        let mut command = command(&["vms", "--server", &control_plane.url()]);
        change(&mut command);
        Ran::of(&mut command).expect(0);
        assert_eq!(bearer(&control_plane).as_deref(), token);
    };
    check(None, &|_| {});
    check(Some("from-the-first"), &|command| {
        command.arg("--config").arg(&config);
    });
    check(Some("from-the-first"), &|command| {
        command.env("NKUDO_CONFIG", &config);
    });
    check(Some("itself"), &|command| {
        command.env("NKUDO_CONFIG", &config).env("NKUDO_TOKEN", "itself");
    });
    check(Some("from-the-second"), &|command| {
        command.env("NKUDO_CONFIG", &config).env("NKUDO_TOKEN_FILE", &second);
    });
    check(Some("itself"), &|command| {
        command.env("NKUDO_TOKEN_FILE", &second).env("NKUDO_TOKEN", "itself");
    });
    check(Some("from-the-second"), &|command| {
        command.env("NKUDO_TOKEN", "itself").arg("--token-file").arg(&second);
    });
    check(None, &|command| {
        command.env("NKUDO_TOKEN", "");
    });
}

#[test]
fn who_has_no_token_is_told_how_to_get_one() {
    let control_plane = ControlPlane::new(|asked| match &asked.authorization {
        None => problem(401, "an API key is required"),
        Some(_) => problem(401, "the key is not known"),
    });
    let mut without = command(&["vms", "--server", &control_plane.url()]);
    let ran = Ran::of(&mut without).says(1, "wants a token, and none was given");
    for part in ["admin.token", "control-plane key create", "NKUDO_TOKEN", "--token-file"] {
        assert!(ran.stderr().contains(part), "{part}: {}", ran.stderr());
    }
    let ran = control_plane.run(&["vms"]).says(1, "does not take the token (the key is not known)");
    assert!(
        ran.stderr().contains("control-plane key create") && !ran.stderr().contains(TOKEN),
        "{}",
        ran.stderr()
    );
}

#[test]
fn a_control_plane_that_is_not_there_is_named() {
    let url = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let refused =
        format!("{url} refused the connection: nobody listens there; is the control plane running?");
    Ran::of(&mut command(&["vms", "--server", &url])).says(1, &refused);
    let nowhere = "http://no-such-host.invalid:1";
    Ran::of(&mut command(&["vms", "--server", nowhere])).says(1, "the name cannot be resolved");
}

#[test]
fn what_answers_something_else_is_told() {
    let control_plane = ControlPlane::new(|_| axum::response::IntoResponse::into_response("<html>"));
    control_plane.run(&["vms"]).says(1, "is not what was asked for");
    let control_plane =
        ControlPlane::new(|_| crate::harness::ok(&serde_json::json!({"items": [1], "next_cursor": null})));
    control_plane.run(&["vms"]).says(1, "is not what was asked for");
}

#[test]
fn what_is_wrong_is_refused_with_its_place_and_the_remedy() {
    let (_dir, nonsense) = file("ca.pem", "nonsense");
    let (_dir, empty_file) = file("empty.token", "\n");
    let (nonsense, empty_file) = (nonsense.to_str().unwrap(), empty_file.to_str().unwrap());
    for (args, part) in [
        (&["--server", "ftp://h"][..], "`ftp://h` begins with neither http:// nor https://"),
        (&["--server", "127.0.0.1:8080"], "begins with neither"),
        (&["--server", "http://h/v1"], "has a path"),
        (&["--server", "https://h"], "needs --ca-file or NKUDO_CA_FILE"),
        (&["--server", "https://h", "--ca-file", "/nowhere.pem"], "/nowhere.pem cannot be read"),
        (&["--server", "https://h", "--ca-file", nonsense], nonsense),
        (&["--token-file", "/nowhere.token"], "/nowhere.token cannot be read"),
        (&["--token-file", empty_file], "is empty"),
        (&["--config", "/nowhere.toml"], "/nowhere.toml"),
        (&["--state", "melting"], "creating, running, paused, stopped, failed, unknown"),
        (&["--agent", "edge-1"], "`edge-1` is not a UUID"),
        (&["--limit", "0"], "0 is not in 1..="),
        (&["--output", "yaml"], "text, json"),
        (&["--sever", "http://h"], "--server"),
    ] {
        Ran::of(&mut command(&[&["vms"], args].concat())).says(2, part);
    }
    for (args, part) in [
        (&["actions", "--since", "yesterday"][..], "write it like 2026-01-02T03:04:05Z"),
        (&["vms", "stop", VM, "--grace-seconds", "4000"], "4000 is not in 0..=3600"),
        (&["vms", "--limit", "3", "show", VM], "--limit stands before `show`"),
        (&["vms", "create", "--agent", AGENT], "--name"),
        (&["vms", "create", "--agent", AGENT, "-f", "x", "--name", "y"], "cannot be used with"),
        (
            &["vms", "create", "--agent", AGENT, "--name", "a", "--kernel", "k", "--memory", "1MiB"],
            "params.kernel",
        ),
        (&["tokens", "create", "--ttl", "soon"], "write it like 90s, 30m, 1h or 7d"),
        (&["keys", "create", "--role", "root"], "viewer, operator, admin"),
    ] {
        Ran::of(&mut command(args)).says(2, part);
    }
}

#[test]
fn a_wrong_key_is_told_with_file_line_and_the_nearest_right_one() {
    for (text, part) in [
        (
            "\nsevrer = \"http://h\"",
            "nkudo.toml:2: unknown key `sevrer`; did you mean `server`? (where the control plane is)",
        ),
        ("server = 3", "nkudo.toml:1: server: must be a string"),
        ("token_file = \"here\"", "token_file: must be an absolute path"),
        ("server = ", "nkudo.toml:1: this is not TOML"),
    ] {
        let (_dir, config) = file("nkudo.toml", text);
        Ran::of(command(&["vms"]).arg("--config").arg(&config)).says(2, part);
    }
    let control_plane = empty();
    let mut misspelt = control_plane.command(&["vms"]);
    misspelt.env("NKUDO_SEVER", "x").env("NKUDO_EDGE_LOG_LEVEL", "debug").env("NKUDO_CP_LISTEN", "x");
    let ran = Ran::of(&mut misspelt).says(0, "NKUDO_SEVER is not a setting; did you mean NKUDO_SERVER?");
    assert_eq!(ran.stderr().lines().count(), 1, "the other programs' variables are theirs: {}", ran.stderr());
}

#[test]
fn the_commands_of_this_host_ask_no_control_plane() {
    let state_dir = tempfile::tempdir().unwrap();
    let (_dir, config) = file("edge-agent.toml", "log_level = \"warn\"\n");
    let run = |args: &[&str]| {
        let mut command = command(args);
        command.arg("--config").arg(&config).env("NKUDO_SERVER", "not even an address");
        command.env("NKUDO_EDGE_STATE_DIR", state_dir.path());
        Ran::of(&mut command)
    };
    let ran = run(&["status", "--output", "json"]).expect(1).json();
    assert_eq!(
        (&ran["enrolled"], &ran["connection"]["state"]),
        (&Value::Bool(false), &Value::from("disconnected"))
    );
    run(&["--state-dir", "/dev/null/nowhere", "status"]).says(1, "/dev/null/nowhere");
    run(&["renew"]).says(1, "not enrolled");
    run(&["unenroll"]).says(1, "not enrolled");
    run(&["unenroll", "--keep-vms", "--delete-vms"]).says(2, "cannot be used with");
    std::fs::write(&config, "log_levle = \"warn\"\n").unwrap();
    run(&["status"]).says(2, "unknown key `log_levle`; did you mean `log_level`?");
}

#[test]
fn version_and_completions_need_no_settings() {
    let version =
        Ran::of(command(&["version", "--output", "json"]).env("NKUDO_SERVER", "nonsense")).expect(0).json();
    for key in ["version", "commit", "profile"] {
        assert!(version[key].is_string(), "{version}");
    }
    let script = Ran::of(&mut command(&["completions", "bash"])).expect(0).stdout();
    assert!(script.contains("_nkudo()"), "{script}");
}
