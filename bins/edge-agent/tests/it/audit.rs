//! The audit log when somebody was at its files.

use crate::harness::Host;

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
    for part in ["is not whole: 0 lines", "its files are gone", "restore them from a backup"] {
        assert!(verified.stdout().contains(part), "{part}: {}", verified.stdout());
    }
    let verified = host.run(&["audit", "verify", "--output", "json"]);
    assert_eq!((verified.code(), &verified.json()["ok"]), (1, &false.into()));
    host.start();
    let lines = host.run(&["audit", "--output", "json"]).json();
    let items = lines["items"].as_array().unwrap();
    assert_eq!(items.last().unwrap()["outcome"], "began_anew", "{lines}");
}
