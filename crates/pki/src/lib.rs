//! Keys, certificates, tokens, and the TLS configurations made of them.
//!
//! The principal type is [`Authority`], which signs certificates: for agents from a checked request
//! ([`Authority::sign_agent`]) and for the control plane's server. [`PrivateKey`] is made where it is used;
//! [`EnrolmentToken`] and [`ApiKey`] are what people carry. [`server_config`], [`enrolling_client`], [`agent_client`]
//! and [`trusting_client`] are the ends of connections, and [`TlsFault`] says what is wrong with one. It reads no
//! files and no clock; times come in as Unix milliseconds.
//!
//! **Invariant:** a private key, token or key does not print itself; its text is asked for by name.
//! **Invariant:** of a certificate request nothing but the public key gets into the certificate.
//! **Invariant:** only TLS 1.3 is spoken, and no session is resumed.

mod authority;
mod certificate;
mod error;
mod fault;
mod identity;
mod key;
mod request;
mod secrets;
mod tls;

pub use authority::{Authority, Fingerprint, Issued};
pub use certificate::{CertificateFacts, Peer, certificate_facts, matches, peer};
pub use error::PkiError;
pub use fault::TlsFault;
pub use identity::AgentIdentity;
pub use key::PrivateKey;
pub use secrets::{ApiKey, EnrolmentToken, SECRET_PREFIXES, digest, same, shown_url};
pub use tls::{agent_client, enrolling_client, server_config, trusting_client};
