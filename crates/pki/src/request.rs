//! What a certificate request may be. Only its public key is taken over; still it is checked whole, so that nobody
//! believes to have got what was asked for.

use nkudo_domain::AgentId;
use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo as ParsedKey;

use crate::error::PkiError;
use crate::key::REQUEST_SUBJECT;

/// Longest request in PEM, in bytes: an RSA key of 8192 bits fits.
const REQUEST_MAX_BYTES: usize = 16 << 10;
const RSA_BITS_MIN: usize = 2048;
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519: &str = "1.3.101.112";

/// The public key of a request that is taken.
pub(crate) fn public_key(csr_pem: &str, agent_id: AgentId) -> Result<SubjectPublicKeyInfo, PkiError> {
    let wrong = |detail: String| PkiError::Request { detail };
    if csr_pem.len() > REQUEST_MAX_BYTES {
        return Err(wrong(format!("it is longer than {REQUEST_MAX_BYTES} bytes")));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes())
        .map_err(|error| wrong(format!("{error}")))?;
    let (rest, request) =
        X509CertificationRequest::from_der(&der).map_err(|error| wrong(error.to_string()))?;
    if !rest.is_empty() {
        return Err(wrong("something follows it".to_owned()));
    }
    let info = &request.certification_request_info;
    strong(&info.subject_pki)?;
    request.verify_signature().map_err(|_| PkiError::RequestSignature)?;
    let subject = info.subject.to_string();
    let own = [String::new(), format!("CN={REQUEST_SUBJECT}"), format!("CN={agent_id}")];
    if !own.contains(&subject) {
        return Err(PkiError::RequestNames { found: format!("the subject `{}`", shown(&subject)) });
    }
    for extension in request.requested_extensions().into_iter().flatten() {
        let found = match extension {
            ParsedExtension::SubjectAlternativeName(_) => "alternative names",
            ParsedExtension::BasicConstraints(constraints) if constraints.ca => "a certificate authority",
            ParsedExtension::NameConstraints(_) => "name constraints",
            // Whatever else is asked for is left out of the certificate.
            _ => continue,
        };
        return Err(PkiError::RequestNames { found: found.to_owned() });
    }
    SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
        .map_err(|_| PkiError::WeakKey { found: "of an unknown kind".to_owned() })
}

fn strong(key: &ParsedKey<'_>) -> Result<(), PkiError> {
    let weak = |found: String| Err(PkiError::WeakKey { found });
    if key.algorithm.algorithm.to_id_string() == ED25519 {
        return Ok(());
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() >= RSA_BITS_MIN => Ok(()),
        Ok(PublicKey::RSA(rsa)) => weak(format!("RSA of {} bits", rsa.key_size())),
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            match curve.map(|oid| oid.to_id_string()) {
                Some(curve) if [P256, P384].contains(&curve.as_str()) => Ok(()),
                Some(curve) => weak(format!("the curve {curve}")),
                None => weak("a curve without a name".to_owned()),
            }
        }
        Ok(_) | Err(_) => weak("of an unknown kind".to_owned()),
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
