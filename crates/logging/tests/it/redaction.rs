//! Secrets in finished lines: none is left, and nothing else is changed.

use std::borrow::Cow;

use nkudo_logging::{Lines, LogConfig, LogFormat, OutputCounts, Redactor, RedactorError, subscriber};
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::{collection, test_runner::Config};
use serde_json::Value;

/// As long as tokens are: an id, a secret, a checksum.
const TOKEN: &str =
    "nkt1.0123456789abcdef.5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2.89ab4567";
const SECRET: &str = "5ec2e75ec2e7";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
                   MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSeCReTSeCReTSeCR\n\
                   eTSeCReTSeCReTSeCReTSeCReT+/SeCRetSeCRetSeCRetSeCReTSeCReTSeCReT\n\
                   SeCReTSeCReTSeCReT==\n\
                   -----END PRIVATE KEY-----\n";
/// Stands at every place of the key's secret half.
const KEY_SECRET: &str = "SeCR";

fn redactor() -> (Redactor, OutputCounts) {
    let counts = OutputCounts::default();
    (Redactor::new(&["nkt1.", "nkk1."], counts.clone()).unwrap(), counts)
}

fn redacted(line: &str) -> String {
    String::from_utf8(redactor().0.redact(line.as_bytes()).into_owned()).unwrap()
}

fn check(line: &str, expected: &str, redactions: u64) {
    let (redactor, counts) = redactor();
    let redacted = redactor.redact(line.as_bytes());
    assert_eq!(String::from_utf8_lossy(&redacted), expected);
    assert_eq!(matches!(redacted, Cow::Borrowed(_)), redactions == 0, "what has none is not copied");
    assert_eq!(counts.redactions.get(), redactions, "{line}");
    assert_eq!(redactor.redact(&redacted), redacted, "once is enough");
}

#[test]
fn tokens_are_replaced_wherever_they_stand() {
    check("", "", 0);
    check("nothing to hide\n", "nothing to hide\n", 0);
    check("nkt1.01234567", "[redacted]", 1);
    check("a token begins with nkt1. or nkk1.", "a token begins with nkt1. or nkk1.", 0);
    check("nkt1.0123456 is none", "nkt1.0123456 is none", 0);
    check(
        &format!("token={TOKEN}\n{{\"m\":\"{TOKEN}\"}}\n"),
        "token=[redacted]\n{\"m\":\"[redacted]\"}\n",
        2,
    );
    check(&format!("https://x/?token={TOKEN}&y=1"), "https://x/?token=[redacted]&y=1", 1);
    check(&format!("x{TOKEN}"), "x[redacted]", 1);
    check(&format!("{TOKEN}{TOKEN} nkk1.01234567é"), "[redacted] [redacted]é", 2);
    // The first letter is that of a line feed, then of a backslash, then half of an escape.
    check("\"\\nkt1.01234567\"", "\"\\n[redacted]\"", 1);
    check("\"\\\\nkt1.01234567\"", "\"\\\\[redacted]\"", 1);
    check("\"\\n\\nnkt1.01234567\"", "\"\\n\\n[redacted]\"", 1);
    check("\"\\u00e9nkt1.01234567\"", "\"\\u00e9[redacted]\"", 1);
    let hexadecimal = Redactor::new(&["abc_"], OutputCounts::default()).unwrap();
    assert_eq!(*hexadecimal.redact(b"\"\\u00abc_01234567\""), *b"\"\\u00ab[redacted]\"");
}

#[test]
fn private_keys_are_replaced_however_often_their_line_feeds_are_escaped() {
    let once = KEY.trim_end().replace('\n', "\\n");
    let twice = once.replace('\\', "\\\\");
    for key in [&once, &twice, &once.replace("\\n", "\\r\\n"), &once.replace("\\n", " ")] {
        check(&format!("{{\"m\":\"before {key} after\"}}"), "{\"m\":\"before [redacted] after\"}", 1);
        check(&format!("{{\"m\":\"Key(\\\"{key}\\\")\"}}"), "{\"m\":\"Key(\\\"[redacted]\\\")\"}", 1);
        check(&format!("{key}\\n{key}"), "[redacted]\\n[redacted]", 2);
        for kind in ["RSA ", "EC ", "ENCRYPTED ", "OPENSSH "] {
            let key = key.replace("PRIVATE", &format!("{kind}PRIVATE"));
            check(&format!("\"{key}\""), "\"[redacted]\"", 1);
        }
        let older =
            key.replacen("KEY-----", "KEY-----\\nProc-Type: 4,ENCRYPTED\\nDEK-Info: DES-CBC,0A\\n\\n", 1);
        check(&format!("\"{older}\""), "\"[redacted]\"", 1);
        // Its end is cut off.
        let (half, _) = key.split_at(key.len() / 2);
        check(&format!("{{\"m\":\"{half}…(cut)\",\"n\":1}}"), "{\"m\":\"[redacted]…(cut)\",\"n\":1}", 1);
    }
    for harmless in [
        "{\"m\":\"no -----BEGIN PRIVATE KEY----- in ca.key\"}",
        "-----BEGIN CERTIFICATE-----\\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\\n-----END CERTIFICATE-----",
        "-----BEGIN lower PRIVATE KEY-----\\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49",
        "-----END PRIVATE KEY-----",
        "PRIVATE KEY-----",
    ] {
        check(harmless, harmless, 0);
    }
}

#[test]
fn a_text_on_its_own_may_have_a_key_with_raw_line_feeds() {
    let (redactor, counts) = redactor();
    let text = format!("before\n{KEY}after é {TOKEN}");
    assert_eq!(redactor.redact_text(&text), "before\n[redacted]\nafter é [redacted]");
    assert_eq!(counts.redactions.get(), 2);
    let (half, _) = KEY.split_at(KEY.len() / 2);
    assert_eq!(redactor.redact_text(half), "[redacted]");
    assert!(matches!(redactor.redact_text("nothing\nto hide"), Cow::Borrowed(_)));
}

#[derive(Debug)]
#[expect(dead_code, reason = "it is printed by Debug")]
struct Settings {
    name: &'static str,
    token: String,
    nested: Option<(String, &'static str)>,
}

#[derive(Debug, thiserror::Error)]
#[error("the server said {0}")]
struct Refused(String, #[source] std::io::Error);

/// What `say` logs, redacted, in both forms.
fn logged(say: &dyn Fn()) -> String {
    let mut text = String::new();
    for format in [LogFormat::Json, LogFormat::Text] {
        let lines = Lines::default();
        let config = LogConfig { format, context_fields: &["action_id"], ..LogConfig::default() };
        let (subscriber, _) = subscriber(&config, lines.clone());
        tracing::subscriber::with_default(subscriber, say);
        let redacted = redacted(&lines.text());
        assert_eq!(redacted.lines().count(), 1, "{redacted}");
        if format == LogFormat::Json {
            serde_json::from_str::<Value>(&redacted).expect(&redacted);
        }
        text.push_str(&redacted);
    }
    text
}

#[test]
fn no_path_into_a_line_lets_a_secret_through() {
    for secret in [TOKEN, KEY] {
        let owned = secret.to_owned();
        let settings = Settings { name: "n", token: owned.clone(), nested: Some((owned.clone(), "x")) };
        let error = Refused(owned.clone(), std::io::Error::other(owned.clone()));
        let paths: [(&str, &dyn Fn()); 10] = [
            ("the message", &|| tracing::info!("{secret}")),
            ("amid the message", &|| tracing::info!("got \"{secret}\"\nand more")),
            ("a field", &|| tracing::info!(field = secret, "x")),
            ("a field by Display", &|| tracing::info!(field = %secret, "x")),
            ("a field by Debug", &|| tracing::info!(field = ?secret, "x")),
            ("Debug of a struct", &|| tracing::info!(?settings, "{settings:#?}")),
            ("Debug of Debug", &|| tracing::info!(field = ?format!("{settings:?}"), "x")),
            ("an error with its causes", &|| {
                tracing::info!(error = &error as &dyn std::error::Error, "x");
            }),
            ("a field of a span", &|| {
                tracing::info_span!("span", action_id = secret).in_scope(|| tracing::info!("x"));
            }),
            ("the component", &|| tracing::info!(component = secret, trace_id = secret, "x")),
        ];
        for (path, say) in paths {
            let text = logged(say);
            assert!(!text.contains(SECRET) && !text.contains(KEY_SECRET), "{path}: {text}");
            assert!(text.contains("[redacted]"), "{path}: {text}");
        }
    }
}

#[test]
fn a_secret_that_is_cut_anywhere_is_not_shown() {
    // A field has 16 KiB at most.
    for secret in [TOKEN, KEY] {
        for kept in 0..=secret.len() {
            let field = format!("{}{secret}", " ".repeat((16 << 10) - kept));
            let text = logged(&|| tracing::info!(field, "x"));
            assert!(!text.contains(SECRET) && !text.contains(KEY_SECRET), "{kept}: {text}");
        }
    }
}

#[test]
fn a_line_of_nothing_but_beginnings_costs_one_look_at_each() {
    let count = 200_000;
    let tokens = "nkt1.".repeat(count);
    assert_eq!(redacted(&tokens), "[redacted]");
    let keys = "-----BEGIN PRIVATE KEY-----".repeat(count);
    assert_eq!(redacted(&keys), keys);
    let halves = "-----BEGIN PRIVATE KEY-----MIGHAgEAMBMGByqGSM49".repeat(count);
    assert_eq!(redacted(&halves), "[redacted]".repeat(count));
    let escapes = format!("{}nkt1.01234567", "\\".repeat(count));
    assert_eq!(redacted(&escapes), format!("{}[redacted]", "\\".repeat(count)));
}

#[test]
fn beginnings_that_would_be_found_in_words_are_refused_with_a_remedy() {
    let long = "x".repeat(33);
    for prefix in ["", "nk", "a b", "\"nk", "nk\\", "nkü", "nk\n", &long] {
        let error = Redactor::new(&["nkt1.", prefix], OutputCounts::default()).unwrap_err();
        assert_eq!(error, RedactorError::Prefix { prefix: prefix.to_owned() });
        assert!(error.to_string().contains("take 3 to 32 letters"), "{error}");
    }
    let error = Redactor::new(&["nkt1."; 17], OutputCounts::default()).unwrap_err();
    assert!(error.to_string().contains("at most 16"), "{error}");
    let none = Redactor::new(&[], OutputCounts::default()).unwrap();
    assert_eq!(*none.redact(TOKEN.as_bytes()), *TOKEN.as_bytes());
    assert!(matches!(none.redact(KEY.replace('\n', "\\n").as_bytes()), Cow::Owned(_)));
}

/// Pieces that are nearly secrets, and what JSON writes in odd ways.
fn piece() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("nkt1."),
        Just("kt1."),
        Just("n"),
        Just("\\"),
        Just("\""),
        Just("\n"),
        Just("\u{1}"),
        Just("é"),
        Just(" "),
        Just("0123456789abcdef"),
        Just("-----BEGIN PRIVATE KEY-----"),
        Just("-----END PRIVATE KEY-----"),
    ]
}

/// Whether a token stands in a text.
fn has_token(text: &str) -> bool {
    text.match_indices("nkt1.").any(|(at, prefix)| {
        let (_, behind) = text.split_at(at + prefix.len());
        behind.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).count() >= 8
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(2_000) })]

    #[test]
    fn json_stays_json_and_no_token_is_left(pieces in collection::vec(piece(), 0..12)) {
        let text = pieces.concat();
        // As a line has it, and as Debug in a line does.
        for written in [serde_json::to_string(&text).unwrap(), serde_json::to_string(&format!("{text:?}")).unwrap()] {
            let line = format!("{{\"m\":{written},\"n\":[\"{TOKEN}\"]}}");
            let value: Value = serde_json::from_str(&redacted(&line)).unwrap();
            prop_assert!(!has_token(value["m"].as_str().unwrap()), "{}", line);
            prop_assert_eq!(&value["n"][0], "[redacted]");
        }
    }

    #[test]
    fn what_stands_around_a_token_is_not_touched(
        before in "[ \"\\\\\n\u{1}é{}:,]{0,8}",
        after in "[ \"\\\\\n\u{1}é{}:,]{0,8}",
    ) {
        let line = serde_json::to_string(&format!("{before}{TOKEN}{after}")).unwrap();
        let text: String = serde_json::from_str(&redacted(&line)).unwrap();
        prop_assert_eq!(text, format!("{before}[redacted]{after}"));
    }
}
