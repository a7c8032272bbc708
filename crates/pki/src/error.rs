//! Why a key, a certificate, a request or a token is not taken.

/// The sentence is for who handed it in.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("no key could be made")]
    KeyNotMade { source: rcgen::Error },
    #[error("this is not a private key in PEM that can be used here (PKCS#8)")]
    Key { source: rcgen::Error },
    #[error("the certificate request is not PKCS#10 in PEM: {detail}")]
    Request { detail: String },
    #[error("the signature of the certificate request is not that of its key; make a new request")]
    RequestSignature,
    #[error(
        "the key of the certificate request is too weak ({found}); P-256, P-384, Ed25519 and RSA from 2048 bits are taken"
    )]
    WeakKey { found: String },
    #[error(
        "the certificate request asks for {found}; an agent gets its names from the control plane, leave them out"
    )]
    RequestNames { found: String },
    #[error("this is not a certificate in PEM: {detail}")]
    Certificate { detail: String },
    #[error("the certificate names no agent: {detail}")]
    NoAgent { detail: String },
    #[error("the certificate is not that of a certificate authority")]
    NotAnAuthority,
    #[error("the private key is not that of the certificate; restore both from one backup")]
    KeyOfAnother,
    #[error("`{name}` is neither a DNS name nor an IP address")]
    ServerName { name: String, source: rcgen::Error },
    #[error("the certificate could not be signed")]
    NotSigned { source: rcgen::Error },
    #[error("this is not {what}: {detail}")]
    Token { what: &'static str, detail: &'static str },
    #[error("TLS cannot be set up with this certificate and key")]
    Tls { source: rustls::Error },
    #[error("no trust can be put into this certificate authority: {detail}")]
    Trust { detail: String },
}
