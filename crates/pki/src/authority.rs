//! The certificate authority of a control plane.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SanType,
    SerialNumber, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::certificate::{certificate_facts, matches};
use crate::error::PkiError;
use crate::identity::AgentIdentity;
use crate::key::{PrivateKey, subject};
use crate::request;
use crate::secrets::{hex, random, unhex};

/// How long an authority is good: ten years.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far a certificate reaches back, for clocks that are behind; at most a tenth of its life.
const BACKDATED: Duration = Duration::from_secs(300);
/// Bytes of a serial number (RFC 5280, section 4.1.2.2: at most 20, and positive).
const SERIAL_BYTES: usize = 16;

/// Signs the certificates of agents and of the control plane's own server.
pub struct Authority {
    certificate_pem: String,
    fingerprint: Fingerprint,
    issuer: Issuer<'static, rcgen::KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// A certificate that was just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub certificate_pem: String,
    /// Lower-case hexadecimal.
    pub serial: String,
    /// Unix milliseconds.
    pub expires_at_ms: i64,
}

impl Authority {
    /// A new authority with its private key, which is to be kept where only its owner reads it.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn create(now_ms: i64) -> Result<(Self, SecretString), PkiError> {
        let key = PrivateKey::generate()?;
        let mut params = dated(now_ms, AUTHORITY_LIFETIME);
        params.distinguished_name = subject(&format!("nkudo CA {}", hex(&random::<4>())));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(new_serial().0);
        let certificate = params.self_signed(&key.0).map_err(|source| PkiError::NotSigned { source })?;
        let key_pem = key.to_pem();
        Ok((Self::from_pem(&certificate.pem(), &key_pem)?, key_pem))
    }

    /// An authority that was made before.
    ///
    /// # Errors
    /// When one of the two is not what it should be, or the key is not that of the certificate.
    pub fn from_pem(ca_pem: &str, key_pem: &SecretString) -> Result<Self, PkiError> {
        let key = PrivateKey::from_pem(key_pem.expose_secret())?;
        let facts = certificate_facts(ca_pem)?;
        if !facts.authority {
            return Err(PkiError::NotAnAuthority);
        }
        if !matches(ca_pem, &key)? {
            return Err(PkiError::KeyOfAnother);
        }
        let fingerprint = Fingerprint::of_pem(ca_pem)?;
        let issuer = Issuer::from_ca_cert_pem(ca_pem, key.0)
            .map_err(|error| PkiError::Certificate { detail: error.to_string() })?;
        Ok(Self { certificate_pem: ca_pem.to_owned(), fingerprint, issuer })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// A certificate for an agent, for the public key of its request. Nothing else of the request is taken over.
    ///
    /// # Errors
    /// When the request is not one, is not signed by its key, has a weak key or asks for names.
    pub fn sign_agent(
        &self,
        csr_pem: &str,
        identity: &AgentIdentity,
        lifetime: Duration,
        now_ms: i64,
    ) -> Result<Issued, PkiError> {
        let public_key = request::public_key(csr_pem, identity.agent_id)?;
        let mut params = dated(now_ms, lifetime);
        params.distinguished_name = subject(&identity.agent_id.to_string());
        let uri = Ia5String::try_from(identity.uri()).map_err(|source| PkiError::NotSigned { source })?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        self.sign(params, &public_key, ExtendedKeyUsagePurpose::ClientAuth, lifetime, now_ms)
    }

    /// A certificate, with its new key, for a server of these DNS names and IP addresses.
    ///
    /// # Errors
    /// When one of them is neither, or there is no randomness.
    pub fn sign_server(
        &self,
        names: &[String],
        lifetime: Duration,
        now_ms: i64,
    ) -> Result<(Issued, PrivateKey), PkiError> {
        let key = PrivateKey::generate()?;
        let mut params = dated(now_ms, lifetime);
        params.distinguished_name = subject("nkudo control plane");
        params.subject_alt_names = names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?;
        let issued = self.sign(params, &key.0, ExtendedKeyUsagePurpose::ServerAuth, lifetime, now_ms)?;
        Ok((issued, key))
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        public_key: &impl rcgen::PublicKeyData,
        purpose: ExtendedKeyUsagePurpose,
        lifetime: Duration,
        now_ms: i64,
    ) -> Result<Issued, PkiError> {
        let (serial_number, serial) = new_serial();
        params.serial_number = Some(serial_number);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(public_key, &self.issuer);
        let certificate = signed.map_err(|source| PkiError::NotSigned { source })?;
        // Certificates know whole seconds.
        let expires_at_ms = (now_ms / 1_000).saturating_add(seconds(lifetime)).saturating_mul(1_000);
        Ok(Issued { certificate_pem: certificate.pem(), serial, expires_at_ms })
    }
}

fn server_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let dns = Ia5String::try_from(name.to_owned());
    dns.map(SanType::DnsName).map_err(|source| PkiError::ServerName { name: name.to_owned(), source })
}

/// Parameters that are good from a little before `now_ms` for `lifetime`.
fn dated(now_ms: i64, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let epoch = date_time_ymd(1970, 1, 1);
    let now = epoch + Duration::from_secs((now_ms / 1_000).max(0).unsigned_abs());
    params.not_before = now - BACKDATED.min(lifetime / 10);
    params.not_after = now + Duration::from_secs(lifetime.as_secs());
    params
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// A serial number that nobody guesses, and its text.
fn new_serial() -> (SerialNumber, String) {
    let mut bytes = random::<SERIAL_BYTES>();
    // Positive, and without a leading zero byte that DER would leave out.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    (SerialNumber::from_slice(&bytes), hex(&bytes))
}

/// SHA-256 of a certificate in DER; in text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// Of the first certificate in PEM.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_pem(pem: &str) -> Result<Self, PkiError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| PkiError::Certificate { detail: error.to_string() })?;
        Ok(Self::of(&der))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let wrong = PkiError::Token { what: "a fingerprint", detail: "it is 64 hexadecimal digits" };
        unhex(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(wrong)
    }
}
