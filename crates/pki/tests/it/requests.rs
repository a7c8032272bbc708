//! Certificate requests: what is signed, and what is not.

use nkudo_pki::{Authority, PkiError, PrivateKey, certificate_facts, matches};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519,
};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::SecretString;

use crate::{DAY, NOW, authority, identity};

/// A request with these parameters, signed by this key.
fn request(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn refused(csr_pem: &str, sentence: &str) {
    let error = authority(NOW).sign_agent(csr_pem, &identity(), DAY, NOW).unwrap_err().to_string();
    assert!(error.contains(sentence), "{error}\nwanted: {sentence}");
}

#[test]
fn an_agents_certificate_says_what_the_authority_decides() {
    let authority = authority(NOW);
    let key = PrivateKey::generate().unwrap();
    let issued = authority.sign_agent(&key.request().unwrap(), &identity(), DAY, NOW).unwrap();
    let facts = certificate_facts(&issued.certificate_pem).unwrap();
    assert_eq!(facts.identity, Some(identity()));
    assert_eq!(facts.subject, "CN=01890a5d-ac96-774b-bcce-b302099a8057");
    assert_eq!(facts.names, ["nkudo://acme/lab/01890a5d-ac96-774b-bcce-b302099a8057"]);
    assert_eq!((&facts.serial, facts.serial.len()), (&issued.serial, 32));
    assert_eq!((facts.not_after_ms, issued.expires_at_ms), (NOW + 86_400_000, NOW + 86_400_000));
    assert_eq!(facts.not_before_ms, NOW - 300_000, "for clocks that are behind");
    assert!(!facts.authority);
    assert!(matches(&issued.certificate_pem, &key).unwrap());
    assert!(!matches(&issued.certificate_pem, &PrivateKey::generate().unwrap()).unwrap());
    let again = authority.sign_agent(&key.request().unwrap(), &identity(), DAY, NOW).unwrap();
    assert_ne!(again.serial, issued.serial);
}

#[test]
fn a_short_life_is_not_dated_back_beyond_a_tenth() {
    let key = PrivateKey::generate().unwrap();
    let lifetime = std::time::Duration::from_secs(60);
    let issued = authority(NOW).sign_agent(&key.request().unwrap(), &identity(), lifetime, NOW).unwrap();
    assert_eq!(certificate_facts(&issued.certificate_pem).unwrap().not_before_ms, NOW - 6_000);
}

#[test]
fn other_strong_keys_are_signed_too() {
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let issued = authority(NOW).sign_agent(&request(&key, |_| ()), &identity(), DAY, NOW).unwrap();
        assert_eq!(certificate_facts(&issued.certificate_pem).unwrap().identity, Some(identity()));
    }
}

#[test]
fn nothing_is_smuggled_in() {
    let key = KeyPair::generate().unwrap();
    let named = |name: &str| {
        let name = name.to_owned();
        request(&key, move |params| params.distinguished_name.push(DnType::CommonName, name))
    };
    refused(&named("another agent"), "the subject `CN=another agent`");
    refused(&named("01890a5d-ac96-774b-bcce-000000000000"), "leave them out");
    let alternative =
        request(&key, |params| *params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap());
    refused(&alternative, "asks for");
    let ca = request(&key, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    match authority(NOW).sign_agent(&ca, &identity(), DAY, NOW) {
        Err(error) => assert!(error.to_string().contains("certificate authority"), "{error}"),
        // rcgen leaves the constraint out of a request; then there is nothing to refuse, and nothing that gets in.
        Ok(issued) => assert!(!certificate_facts(&issued.certificate_pem).unwrap().authority),
    }
    let own =
        authority(NOW).sign_agent(&named("01890a5d-ac96-774b-bcce-b302099a8057"), &identity(), DAY, NOW);
    assert!(own.is_ok(), "its own name it may say");
}

#[test]
fn a_signature_that_is_not_the_keys_is_refused() {
    let pem = PrivateKey::generate().unwrap().request().unwrap();
    let mut der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let body = base64(&der);
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n");
    refused(&pem, "the signature of the certificate request is not that of its key");
}

#[test]
fn what_is_no_request_is_refused() {
    refused("", "not PKCS#10");
    refused("hello", "not PKCS#10");
    refused(&"x".repeat(1 << 20), "longer than 16384 bytes");
    refused("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "not PKCS#10");
}

/// RSA of 1,024 bits, made by OpenSSL.
#[test]
fn a_weak_key_is_refused_and_the_strong_ones_are_named() {
    let weak = include_str!("rsa1024.csr.pem");
    refused(weak, "too weak (RSA of 1024 bits); P-256, P-384, Ed25519 and RSA from 2048 bits are taken");
}

#[test]
fn an_authority_is_taken_up_only_whole() {
    let (authority, key) = Authority::create(NOW).unwrap();
    let again = Authority::from_pem(authority.certificate_pem(), &key).unwrap();
    assert_eq!(again.fingerprint(), authority.fingerprint());
    let (other, other_key) = Authority::create(NOW).unwrap();
    let mixed = Authority::from_pem(other.certificate_pem(), &key).unwrap_err();
    assert!(matches!(mixed, PkiError::KeyOfAnother), "{mixed}");
    let (issued, server_key) = other.sign_server(&["cp".to_owned()], DAY, NOW).unwrap();
    let no_authority = Authority::from_pem(&issued.certificate_pem, &server_key.to_pem()).unwrap_err();
    assert!(matches!(no_authority, PkiError::NotAnAuthority), "{no_authority}");
    assert!(Authority::from_pem("nothing", &other_key).is_err());
    assert!(Authority::from_pem(other.certificate_pem(), &SecretString::from("nothing")).is_err());
    let wrong = other.sign_server(&["a b".to_owned(), "ü".to_owned()], DAY, NOW).unwrap_err().to_string();
    assert!(wrong.contains("is neither a DNS name nor an IP address"), "{wrong}");
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encoded = bytes.chunks(3).flat_map(|chunk| {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..4).map(move |at| match at <= chunk.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]),
            false => '=',
        })
    });
    encoded.collect()
}
