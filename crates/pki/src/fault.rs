//! From a handshake that failed to the fact that is wrong.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, OtherError};
use rustls_pki_types::UnixTime;

use crate::authority::Fingerprint;

/// What is wrong with a TLS connection; the sentence names the remedy. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    #[error("the server's certificate expired on {}; look at both clocks, and at the server", date(*not_after_ms))]
    Expired { not_after_ms: i64 },
    #[error("the server's certificate is good from {} on; look at both clocks", date(*not_before_ms))]
    NotYetValid { not_before_ms: i64 },
    #[error(
        "the server's certificate is not for {wanted} but for {}; use one of these names, or give the control plane the \
         name with --server-name", names.join(", ")
    )]
    WrongName { wanted: String, names: Vec<String> },
    #[error(
        "the server's certificate is of another authority than this host enrolled with; is the address right?"
    )]
    UnknownAuthority,
    #[error(
        "the control plane's authority has the fingerprint {found}, and the token was made for {wanted}; is the address \
         right, and the token of this control plane?"
    )]
    FingerprintMismatch { wanted: Fingerprint, found: Fingerprint },
    #[error("the server's certificate was revoked")]
    Revoked,
    #[error("the certificate that was shown is not one for servers; is the address right?")]
    NotAServerCertificate,
    #[error("the server refused the certificate of this host: {0}")]
    Refused(&'static str),
    #[error("the other end does not speak TLS 1.3 here; is the port right?")]
    NotTls,
    #[error("{0}")]
    Other(String),
}

/// The authority that was shown is not the one that was wanted.
#[derive(Debug)]
pub(crate) struct FingerprintMismatch {
    pub(crate) wanted: Fingerprint,
    pub(crate) found: Fingerprint,
}

impl fmt::Display for FingerprintMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the authority's fingerprint is {}, not {}", self.found, self.wanted)
    }
}

impl std::error::Error for FingerprintMismatch {}

impl TlsFault {
    /// What an input or output error of a TLS stream is about; none when TLS is not to blame.
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<rustls::Error>().map(Self::from_rustls)
    }

    pub fn from_rustls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::from_certificate(error),
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert),
            rustls::Error::InvalidMessage(_) | rustls::Error::PeerIncompatible(_) => Self::NotTls,
            other => Self::Other(other.to_string()),
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired { not_after_ms: millis(*not_after) }
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { not_before_ms: millis(*not_before) }
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::WrongName { wanted: expected.to_str().into_owned(), names: presented.clone() }
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotAServerCertificate
            }
            CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<FingerprintMismatch>() {
                Some(FingerprintMismatch { wanted, found }) => {
                    Self::FingerprintMismatch { wanted: *wanted, found: *found }
                }
                None => Self::Other(inner.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateExpired => Self::Refused(
                "it has expired, or is not good yet; look at both clocks, and enrol with --force",
            ),
            AlertDescription::CertificateRevoked => Self::Refused("it was revoked; enrol again with --force"),
            AlertDescription::UnknownCA | AlertDescription::DecryptError => Self::Refused(
                "it is of another authority: the control plane was set up anew; enrol again with --force",
            ),
            AlertDescription::CertificateRequired => Self::Refused("it wants one; enrol this host"),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied => {
                Self::Refused("it is not one that agents have; enrol with --force")
            }
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => Self::NotTls,
            other => Self::Other(format!("the server ended the connection: {other:?}")),
        }
    }
}

fn millis(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000)
}

fn date(unix_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(unix_ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("{unix_ms} ms since 1970"),
    }
}
