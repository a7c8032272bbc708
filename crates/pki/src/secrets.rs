//! Tokens and keys that people carry: made here, kept elsewhere as a digest only.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::authority::Fingerprint;
use crate::error::PkiError;

/// Bytes of an id.
const ID_BYTES: usize = 8;
/// Bytes of a secret: nobody guesses 256 bits.
const SECRET_BYTES: usize = 32;
/// Bytes of the checksum that tells a damaged text from an unknown one.
const CHECKSUM_BYTES: usize = 4;
/// What tokens and keys begin with: for whoever keeps them out of logs.
pub const SECRET_PREFIXES: &[&str] = &["nkt1.", "nkk1."];
const TOKEN: &str = "an enrolment token";
const KEY: &str = "an API key";

/// A URL that somebody gave, fit for a complaint about it: what stands before an `@` or behind a `?` or `#` may be a
/// secret and is not repeated. It need not be a URL at all.
pub fn shown_url(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    // The last one: a key may have an `@`, a `?` or a `#` in it where it should be escaped.
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, host)| ("…@", host));
    let (address, behind) = rest.split_once(['?', '#']).map_or((rest, ""), |(address, _)| (address, "…"));
    format!("{scheme}{user}{address}{behind}")
}

/// Lets an agent in. As text `nkt1.ID.SECRET.FINGERPRINT.CHECKSUM`, in hexadecimal: with the fingerprint of the
/// control plane's authority the agent knows whom it speaks to, and needs no file of it.
#[derive(Debug, Clone)]
pub struct EnrolmentToken {
    pub token_id: String,
    pub secret: SecretString,
    pub ca: Fingerprint,
}

impl EnrolmentToken {
    const PREFIX: &'static str = "nkt1";

    /// A new one.
    pub fn make(ca: Fingerprint) -> Self {
        Self { token_id: hex(&random::<ID_BYTES>()), secret: new_secret(), ca }
    }

    /// The whole text, for whoever is to enrol with it.
    pub fn reveal(&self) -> String {
        sealed(&format!("{}.{}.{}.{}", Self::PREFIX, self.token_id, self.secret.expose_secret(), self.ca))
    }
}

impl FromStr for EnrolmentToken {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let parts = opened(text.trim(), TOKEN)?;
        let wrong = |detail| PkiError::Token { what: TOKEN, detail };
        let [Self::PREFIX, token_id, secret, ca] = parts.as_slice() else {
            return Err(wrong(kind_of(&parts)));
        };
        Ok(Self {
            token_id: (*token_id).to_owned(),
            secret: SecretString::from(*secret),
            ca: ca.parse().map_err(|_| wrong("its fingerprint is none"))?,
        })
    }
}

/// Lets a program or a person use the REST API. As text `nkk1.ID.SECRET.CHECKSUM`, in hexadecimal.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub key_id: String,
    pub secret: SecretString,
}

impl ApiKey {
    const PREFIX: &'static str = "nkk1";

    /// A new one.
    pub fn make() -> Self {
        Self { key_id: hex(&random::<ID_BYTES>()), secret: new_secret() }
    }

    /// The whole text, for whoever is to use it.
    pub fn reveal(&self) -> String {
        sealed(&format!("{}.{}.{}", Self::PREFIX, self.key_id, self.secret.expose_secret()))
    }
}

impl FromStr for ApiKey {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let parts = opened(text.trim(), KEY)?;
        let [Self::PREFIX, key_id, secret] = parts.as_slice() else {
            return Err(PkiError::Token { what: KEY, detail: kind_of(&parts) });
        };
        Ok(Self { key_id: (*key_id).to_owned(), secret: SecretString::from(*secret) })
    }
}

/// What an intact text is, when it is not what was asked for.
fn kind_of(parts: &[&str]) -> &'static str {
    match parts.first() {
        Some(&EnrolmentToken::PREFIX) => {
            "it is an enrolment token, which lets a host in; operators need an API key"
        }
        Some(&ApiKey::PREFIX) => {
            "it is an API key, for operators; make a token with control-plane token create"
        }
        Some(_) | None => "it is of a kind that is not known here",
    }
}

/// The text with its checksum.
fn sealed(text: &str) -> String {
    format!("{text}.{}", checksum(text))
}

/// The parts of a text whose checksum is right.
fn opened<'t>(text: &'t str, what: &'static str) -> Result<Vec<&'t str>, PkiError> {
    let wrong = |detail| PkiError::Token { what, detail };
    let (rest, sum) = text
        .rsplit_once('.')
        .ok_or_else(|| wrong("it should have several parts with dots between them; copy the whole of it"))?;
    if checksum(rest) != sum {
        return Err(wrong("it was cut off or altered on its way; copy the whole of it"));
    }
    Ok(rest.split('.').collect())
}

fn checksum(text: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(text).into();
    hex(&digest[..CHECKSUM_BYTES])
}

/// SHA-256 of a secret: what is kept of it. A plain digest is enough for a secret of 256 random bits.
pub fn digest(secret: &SecretString) -> [u8; 32] {
    Sha256::digest(secret.expose_secret()).into()
}

/// Whether two digests are the same, in a time that says nothing of where they differ.
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

fn new_secret() -> SecretString {
    SecretString::from(hex(&random::<SECRET_BYTES>()))
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random numbers are always there on Linux");
    bytes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes whatever is written");
        text
    })
}

/// Bytes from lower-case hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
