//! Parameters become questions, or faults that say how to mend them.

use std::collections::BTreeMap;

use nkudo_api::FieldError;
use nkudo_logbook::Question;
use nkudo_logging::{LogLevel, Query};

const NOW_MS: i64 = 1_700_000_000_000;

fn read(parameters: &[(&str, &str)]) -> Result<Question, Vec<FieldError>> {
    let parameters: BTreeMap<String, String> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Question::read(&parameters, NOW_MS)
}

#[test]
fn a_question_may_ask_for_nothing_in_particular() {
    let question = read(&[]).unwrap();
    assert_eq!((question.query, question.follow), (Query::default(), false));
    let question = read(&[("follow", "true")]).unwrap();
    assert_eq!((question.query.limit, question.follow), (0, true));
}

#[test]
fn what_was_read_is_written_as_the_same_question() {
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let question = read(&[
        ("q", "a b&c"),
        ("component", "local"),
        ("level", "warn"),
        ("action_id", "a-1"),
        ("trace_id", trace_id),
        ("since", "1h"),
        ("until", "2023-11-14T22:13:20Z"),
        ("limit", "7"),
    ])
    .unwrap();
    assert_eq!(question.query.level, Some(LogLevel::Warn));
    assert_eq!(question.query.ids[1], ("trace_id".to_owned(), trace_id.to_owned()));
    let parameters = question.parameters();
    assert_eq!(parameters["since"], "2023-11-14T21:13:20.000Z");
    assert_eq!(Question::read(&parameters, NOW_MS + 86_400_000), Ok(question));
}

#[test]
fn every_fault_is_told_by_its_parameter_with_the_remedy() {
    let check = |parameters: &[(&str, &str)], path: &str, words: &str| {
        let faults = read(parameters).unwrap_err();
        let found = faults.iter().find(|fault| fault.path == path);
        assert!(found.is_some_and(|fault| fault.detail.contains(words)), "{parameters:?}: {faults:?}");
    };
    check(&[("lvel", "info")], "lvel", "did you mean `level`?");
    check(&[("agents", "1")], "agents", "known here: q, component");
    check(&[("follow", "true"), ("until", "1h")], "until", "whoever follows gets what comes from now on");
    check(&[("follow", "true"), ("cursor", "o_1_7")], "cursor", "is");
    check(&[("level", "loud")], "level", "debug, info, warn, error");
    check(&[("q", "")], "q", "`q` is empty");
    check(&[("q", &"x".repeat(2_000))], "q", "`q` has 2000 bytes");
    check(&[("component", "")], "component", "is no component");
    check(&[("component", "a b")], "component", "`a b` is no component");
    check(&[("action_id", "a b")], "action_id", "");
    check(&[("trace_id", "xyz")], "trace_id", "");
    check(&[("since", "yesterday")], "since", "6h or 7d");
    check(&[("since", "1h"), ("until", "2h")], "since", "which is not before");
    check(&[("limit", "0")], "limit", "1 to 1000");
    check(&[("limit", "1001")], "limit", "1 to 1000");
    check(&[("limit", "-1")], "limit", "whole number");
    check(&[("follow", "yes")], "follow", "true or false");
    check(&[("cursor", "7")], "cursor", "which is none");
    check(&[("cursor", "n_00000001_7"), ("follow", "true")], "cursor", "");
    let all = read(&[("level", "x"), ("since", "y"), ("limit", "z")]).unwrap_err();
    assert_eq!(all.len(), 3, "{all:?}");
}
