//! Tokens and keys: they survive their text, and no altered text is taken.

use nkudo_pki::{ApiKey, EnrolmentToken, PrivateKey, SECRET_PREFIXES, digest, same, shown_url};
use secrecy::ExposeSecret as _;

use crate::{NOW, authority};

#[test]
fn texts_are_read_back() {
    let authority = authority(NOW);
    let token = EnrolmentToken::make(authority.fingerprint());
    let again: EnrolmentToken = format!(" {}\n", token.reveal()).parse().unwrap();
    assert_eq!((&again.token_id, again.ca), (&token.token_id, token.ca));
    assert!(same(&digest(&again.secret), &digest(&token.secret)));
    let key = ApiKey::make();
    let again: ApiKey = key.reveal().parse().unwrap();
    for text in [token.reveal(), key.reveal()] {
        assert!(SECRET_PREFIXES.iter().any(|prefix| text.starts_with(prefix)), "a log would not know it");
    }
    assert_eq!(again.key_id, key.key_id);
    assert!(same(&digest(&again.secret), &digest(&key.secret)));
    assert!(!same(&digest(&key.secret), &digest(&token.secret)));
    assert_ne!(ApiKey::make().reveal(), ApiKey::make().reveal());
}

#[test]
fn a_url_is_shown_without_what_may_be_a_secret() {
    for (given, shown) in [
        ("https://cp.example.com:8443", "https://cp.example.com:8443"),
        ("https://h/v1/agents", "https://h/v1/agents"),
        ("https://u:hunter2@h:1/?t=hunter2", "https://…@h:1/…"),
        ("https://h?t=hunter2", "https://h…"),
        ("https://h/#hunter2", "https://h/…"),
        ("https://u:hun@ter2?#@h", "https://…@h"),
        ("hunter2@h", "…@h"),
        ("no url", "no url"),
        ("", ""),
    ] {
        assert_eq!(shown_url(given), shown, "{given}");
    }
}

#[test]
fn a_text_altered_anywhere_is_refused() {
    let token = EnrolmentToken::make(authority(NOW).fingerprint()).reveal();
    let key = ApiKey::make().reveal();
    for at in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
        let altered = String::from_utf8(altered).unwrap();
        assert!(altered.parse::<EnrolmentToken>().is_err(), "{at}: {altered}");
        assert!(token.get(..at).unwrap().parse::<EnrolmentToken>().is_err(), "cut at {at}");
    }
    for at in 0..key.len() {
        let mut altered = key.clone().into_bytes();
        altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
        assert!(String::from_utf8(altered).unwrap().parse::<ApiKey>().is_err(), "{at}");
    }
}

#[test]
fn one_kind_is_not_taken_for_the_other_and_says_so() {
    let token = EnrolmentToken::make(authority(NOW).fingerprint()).reveal();
    let told = token.parse::<ApiKey>().unwrap_err().to_string();
    assert!(told.contains("it is an enrolment token"), "{told}");
    let told = ApiKey::make().reveal().parse::<EnrolmentToken>().unwrap_err().to_string();
    assert!(told.contains("it is an API key"), "{told}");
    for nonsense in ["", "nkt1", "nkt1.a.b", "ünïcödé.x", &"x".repeat(1 << 20)] {
        assert!(nonsense.parse::<EnrolmentToken>().is_err() && nonsense.parse::<ApiKey>().is_err());
    }
}

#[test]
fn nothing_secret_prints_itself() {
    let token = EnrolmentToken::make(authority(NOW).fingerprint());
    let key = ApiKey::make();
    let private = PrivateKey::generate().unwrap();
    let printed = format!("{token:?} {token:#?} {key:?} {private:?} {:?}", private.to_pem());
    for secret in [token.secret.expose_secret(), key.secret.expose_secret()] {
        assert!(!printed.contains(secret), "{printed}");
    }
    for line in private.to_pem().expose_secret().lines() {
        assert!(!printed.contains(line), "{printed}");
    }
}
