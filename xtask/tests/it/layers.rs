//! The layers hold, and a breach is found by its name.

use xtask::layers::{breaches, graph};

#[test]
fn every_crate_uses_only_what_is_below_it() {
    assert_eq!(breaches(&graph().unwrap()), Vec::<String>::new());
}

/// A graph with one more arrow must give this breach and no other.
fn check(user: &str, used: &str, sentence: &str) {
    let mut planted = graph().unwrap();
    planted.entry(user.to_owned()).or_default().push(used.to_owned());
    assert_eq!(breaches(&planted), [sentence]);
}

#[test]
fn planted_breaches_are_found() {
    check("nkudo-metrics-core", "nkudo-host", "nkudo-metrics-core (layer 0) uses nkudo-host (layer 1)");
    check("nkudo-tracker", "nkudo-api", "nkudo-tracker (layer 1) uses nkudo-api (layer 1)");
    check(
        "nkudo-journal",
        "nkudo-domain",
        "nkudo-journal is toolkit and uses nkudo-domain, which is product",
    );
    check("nkudo-providers", "nix", "nkudo-providers uses nix, which is confined");
    check("nkudo-agent", "anyhow", "nkudo-agent uses anyhow, which is confined");
    check("nkudo-tracker", "tokio", "nkudo-tracker is pure and uses tokio");
    check("nkudo-domain", "serde_json", "nkudo-domain is pure and uses serde_json");
    let newcomer = "nkudo-new has no layer; give it one in xtask/src/layers.rs";
    check("nkudo-new", "serde", newcomer);
}

#[test]
fn a_crate_that_went_away_leaves_the_table_too() {
    let mut graph = graph().unwrap();
    graph.remove("nkudo-client");
    assert_eq!(breaches(&graph), ["nkudo-client has a layer and is not there"]);
}
