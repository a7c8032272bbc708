//! The audit log when somebody was at its files.

use serde_json::json;

use crate::harness::{Host, until, vm_id};

#[test]
fn a_log_whose_files_were_removed_is_not_whole_and_the_next_start_says_so() {
    let mut host = Host::running("");
    assert_eq!(host.stop(), Some(0));
    let verified = host.run(&["audit", "verify"]);
    assert!(verified.code() == 0 && verified.stdout().contains("is whole"), "{}", verified.stdout());
    for file in std::fs::read_dir(host.state_dir().join("audit")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let verified = host.run(&["audit", "verify"]);
    assert_eq!(verified.code(), 1);
    for part in ["is not whole: 0 lines.\n", "its files are gone", "restore them from a backup"] {
        assert!(verified.stdout().contains(part), "{part}: {}", verified.stdout());
    }
    let verified = host.run(&["audit", "verify", "--output", "json"]);
    assert_eq!((verified.code(), &verified.json()["ok"]), (1, &false.into()));
    host.start();
    let lines = host.run(&["audit", "--output", "json"]).json();
    let items = lines["items"].as_array().unwrap();
    assert_eq!(items.last().unwrap()["outcome"], "began_anew", "{lines}");
}

#[test]
fn an_action_whose_records_are_lost_is_not_done_again_under_its_id() {
    let mut host = Host::running("[commands]\nallow = [\"/bin/sh\"]\n");
    let file = host.path("said");
    let text = format!("echo once >> {}", file.display());
    let command = json!({"action_id": "say", "action_type": "CommandExecute",
        "params": {"command": "/bin/sh", "args": ["-c", text]}});
    host.succeed(&command);
    host.kill_9();
    std::fs::remove_dir_all(host.state_dir().join("journal")).unwrap();
    // What may be there or not when it is killed.
    for file in ["edge-state.json", "journal.boot"] {
        drop(std::fs::remove_file(host.state_dir().join(file)));
    }
    host.start();
    host.until_logged("they are not begun again");
    for _ in 0..2 {
        let refused = host.fail(&command);
        assert!(refused.starts_with("interrupted, outcome unknown: "), "{refused}");
        assert!(refused.ends_with("then use a new action_id"), "{refused}");
        host.kill_9();
        host.start();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "once\n");
    let again =
        json!({"action_id": "say-again", "action_type": command["action_type"], "params": command["params"]});
    host.succeed(&again);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "once\nonce\n");
}

#[test]
fn without_the_key_nothing_is_begun_and_whoever_asks_is_not_told_of_a_full_log() {
    let mut host = Host::running("[providers]\nsimulated = true\n");
    assert_eq!(host.stop(), Some(0));
    let (key, aside) = (host.state_dir().join("audit.key"), host.state_dir().join("aside.key"));
    std::fs::rename(&key, &aside).unwrap();
    host.start();
    let create = host.create_simulated(&vm_id(1), "web-1", &json!({}));
    let expected = "no audit storage: the host's audit log cannot be written; edge-agent health says why";
    assert_eq!(host.fail(&create), expected);
    let health = host.run(&["health", "--output", "json"]).json();
    let parts = health["components"].as_array().unwrap();
    let audit = parts.iter().find(|part| part["component"] == "audit").unwrap();
    assert!(audit["reason"].as_str().unwrap().starts_with("no audit storage"), "{audit}");
    std::fs::rename(&aside, &key).unwrap();
    until("the log to be written again", || {
        let health = host.run(&["health", "--output", "json"]).json();
        let parts = health["components"].as_array()?;
        let audit = parts.iter().find(|part| part["component"] == "audit")?;
        (audit["health"] == "healthy").then_some(())
    });
    host.succeed(&create);
}
