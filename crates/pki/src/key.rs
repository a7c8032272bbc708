//! Private keys.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::SecretString;

use crate::error::PkiError;

/// The subject of an agent's certificate request; its certificate gets another.
pub(crate) const REQUEST_SUBJECT: &str = "nkudo agent";

/// A private key on the curve P-256. It is made where it is used, and does not print itself.
pub struct PrivateKey(pub(crate) KeyPair);

impl PrivateKey {
    /// A new key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        key.map(Self).map_err(|source| PkiError::KeyNotMade { source })
    }

    /// A key from PKCS#8 in PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        KeyPair::from_pem(pem).map(Self).map_err(|source| PkiError::Key { source })
    }

    /// PKCS#8 in PEM, to be written where only its owner reads it.
    pub fn to_pem(&self) -> SecretString {
        SecretString::from(self.0.serialize_pem())
    }

    /// A request for an agent's certificate: PKCS#10 in PEM, signed by this key, without names.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn request(&self) -> Result<String, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(REQUEST_SUBJECT);
        let request = params.serialize_request(&self.0).and_then(|request| request.pem());
        request.map_err(|source| PkiError::NotSigned { source })
    }

    /// For rustls.
    pub(crate) fn der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.serialize_der()))
    }
}

impl Clone for PrivateKey {
    fn clone(&self) -> Self {
        let again = KeyPair::try_from(&PrivatePkcs8KeyDer::from(self.0.serialize_der()));
        Self(again.expect("a key that was read once is read again"))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// A distinguished name of a common name only.
pub(crate) fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
