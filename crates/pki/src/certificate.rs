//! What a certificate says.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::error::PkiError;
use crate::identity::AgentIdentity;
use crate::key::PrivateKey;
use crate::secrets::hex;

/// The facts of a certificate. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Lower-case hexadecimal.
    pub serial: String,
    pub not_before_ms: i64,
    pub not_after_ms: i64,
    pub subject: String,
    pub issuer: String,
    /// DNS names, IP addresses and URIs.
    pub names: Vec<String>,
    /// The agent that it names, if it names one.
    pub identity: Option<AgentIdentity>,
    /// Whether it may sign others.
    pub authority: bool,
}

/// An agent that has shown its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub identity: AgentIdentity,
    /// Lower-case hexadecimal.
    pub serial: String,
    /// Unix milliseconds.
    pub expires_at_ms: i64,
}

/// The agent that a certificate names. The caller has verified that it is one of ours.
///
/// # Errors
/// When it names none.
pub fn peer(certificate: &CertificateDer<'_>) -> Result<Peer, PkiError> {
    let facts = facts_of(certificate)?;
    let absent = || PkiError::NoAgent { detail: format!("its names are {}", facts.names.join(", ")) };
    let identity = facts.identity.clone().ok_or_else(absent)?;
    Ok(Peer { identity, serial: facts.serial, expires_at_ms: facts.not_after_ms })
}

/// The facts of the first certificate in PEM.
///
/// # Errors
/// When there is none.
pub fn certificate_facts(pem: &str) -> Result<CertificateFacts, PkiError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| PkiError::Certificate { detail: error.to_string() })?;
    facts_of(&der)
}

/// Whether the first certificate in PEM is that of a key.
///
/// # Errors
/// When there is no certificate.
pub fn matches(certificate_pem: &str, key: &PrivateKey) -> Result<bool, PkiError> {
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|error| PkiError::Certificate { detail: error.to_string() })?;
    let certificate = parsed(&der)?;
    Ok(certificate.public_key().subject_public_key.data.as_ref() == key.0.public_key_raw())
}

fn parsed<'d>(der: &'d CertificateDer<'_>) -> Result<X509Certificate<'d>, PkiError> {
    let parsed = X509Certificate::from_der(der);
    parsed
        .map(|(_, certificate)| certificate)
        .map_err(|error| PkiError::Certificate { detail: error.to_string() })
}

pub(crate) fn facts_of(der: &CertificateDer<'_>) -> Result<CertificateFacts, PkiError> {
    let certificate = parsed(der)?;
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let listed = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let mut identity = None;
    let mut names = Vec::new();
    for name in listed {
        match name {
            GeneralName::DNSName(dns) => names.push((*dns).to_owned()),
            GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
            GeneralName::URI(uri) => {
                identity = identity.or_else(|| AgentIdentity::from_uri(uri).ok());
                names.push((*uri).to_owned());
            }
            _ => {}
        }
    }
    let validity = certificate.validity();
    let constraints = certificate.basic_constraints().ok().flatten();
    Ok(CertificateFacts {
        serial: hex(certificate.raw_serial()),
        not_before_ms: validity.not_before.timestamp().saturating_mul(1_000),
        not_after_ms: validity.not_after.timestamp().saturating_mul(1_000),
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names,
        identity,
        authority: constraints.is_some_and(|extension| extension.value.ca),
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}
