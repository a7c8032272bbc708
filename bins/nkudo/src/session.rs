//! A way to the control plane, and its refusals in sentences.

use nkudo_client::{Client, ClientError, Events, TlsFault, shown_url};
use nkudo_terminal::{Failure, Output, print};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;

use crate::query::Query;
use crate::settings::{Credential, Settings};

/// Largest token file, in bytes.
const TOKEN_FILE_MAX_BYTES: u64 = 4_096;
/// Largest file with an authority's certificate, in bytes.
const CA_FILE_MAX_BYTES: u64 = 1 << 20;

/// Where a token comes from.
const TOKEN_REMEDY: &str = "give it by --token-file, NKUDO_TOKEN_FILE or NKUDO_TOKEN; the first one is in admin.token \
     in the control plane's data directory, others are made by `control-plane key create`";

/// Everything that a command needs to ask.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    token_given: bool,
    pub(crate) output: Output,
}

impl Session {
    pub(crate) fn open(settings: &Settings, output: Output) -> Result<Self, Failure> {
        let token = token(settings)?;
        let client = client(settings, token.as_ref())?;
        if token.is_some() && !settings.server.starts_with("https:") && !is_local(&settings.server) {
            print::note(&format!(
                "warning: the token goes to {} without encryption; use https://",
                settings.server
            ));
        }
        Ok(Self { client, token_given: token.is_some(), output })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn get(&self, query: &Query) -> Result<Value, Failure> {
        self.client.get(query.as_str()).await.map_err(|error| self.failure(error))
    }

    pub(crate) async fn post(&self, query: &Query, body: &impl Serialize) -> Result<Value, Failure> {
        self.client.post(query.as_str(), body).await.map_err(|error| self.failure(error))
    }

    pub(crate) async fn delete(&self, query: &Query) -> Result<(), Failure> {
        self.client.delete(query.as_str()).await.map_err(|error| self.failure(error))
    }

    /// A stream of events; its failures are for the caller to judge.
    pub(crate) async fn events(&self, query: &Query) -> Result<Events, ClientError> {
        self.client.events(query.as_str()).await
    }

    /// What failed, with what to do about it. What the user gave wrongly is the user's to mend: exit code 2.
    pub(crate) fn failure(&self, error: ClientError) -> Failure {
        let status = match &error {
            ClientError::Problem(problem) => Some(problem.status),
            ClientError::Status { status } => Some(*status),
            _ => None,
        };
        let peer = self.client.peer();
        match (&error, status) {
            (_, Some(400 | 422)) => Failure::refused(error),
            (_, Some(401)) if !self.token_given => {
                Failure::Failed(format!("{peer} wants a token, and none was given: {TOKEN_REMEDY}"))
            }
            (_, Some(401)) => Failure::Failed(format!(
                "{peer} does not take the token ({}): {TOKEN_REMEDY}",
                innermost(&error)
            )),
            (ClientError::Refused { .. }, _) => Failure::Failed(format!(
                "{error}; is the control plane running? --server or NKUDO_SERVER names another"
            )),
            (ClientError::Tls { fault: TlsFault::UnknownAuthority, .. }, _) => Failure::Failed(format!(
                "no TLS with {peer}: its certificate is of another authority than the one in the ca_file; is that the \
                 ca.pem of this control plane?"
            )),
            (ClientError::Broken { .. }, _) => {
                let way = "is it a control plane, and is https:// or http:// right?";
                Failure::Failed(format!("{peer}: {:#}; {way}", anyhow::Error::from(error)))
            }
            (_, _) => Failure::failed(error),
        }
    }
}

fn client(settings: &Settings, token: Option<&SecretString>) -> Result<Client, Failure> {
    let server = settings.server.as_str();
    if !server.starts_with("http:") && !server.starts_with("https:") {
        return Err(Failure::Refused(format!(
            "server: `{}` begins with neither http:// nor https://; write it like http://127.0.0.1:8080",
            shown_url(server)
        )));
    }
    match (&settings.ca_file, server.starts_with("https:")) {
        (Some(path), true) => {
            let ca_pem = read("ca_file", path, CA_FILE_MAX_BYTES)?;
            Client::https(server, &ca_pem, token).map_err(|error| match error {
                ClientError::Authority { source } => Failure::refused(
                    anyhow::Error::from(source).context(format!("ca_file: {}", path.display())),
                ),
                error => Failure::refused(error),
            })
        }
        (None, true) => Err(Failure::Refused(format!(
            "{} needs --ca-file or NKUDO_CA_FILE: the certificate of the control plane's authority, ca.pem in its data \
                 directory",
            shown_url(server)
        ))),
        (Some(_) | None, false) => Client::http(server, token).map_err(Failure::refused),
    }
}

/// The token, from wherever it was said to be.
fn token(settings: &Settings) -> Result<Option<SecretString>, Failure> {
    match &settings.credential {
        Some(Credential::Token(token, _)) => Ok(Some(token.clone())),
        Some(Credential::File(path)) => {
            let text = read("token_file", path, TOKEN_FILE_MAX_BYTES)?;
            match text.trim() {
                "" => Err(Failure::Refused(format!("token_file: {} is empty", path.display()))),
                token => Ok(Some(SecretString::from(token))),
            }
        }
        None => Ok(None),
    }
}

fn read(key: &str, path: &std::path::Path, max_bytes: u64) -> Result<String, Failure> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(max_bytes + 1).read_to_string(&mut text));
    read.map_err(|error| Failure::Refused(format!("{key}: {} cannot be read: {error}", path.display())))?;
    if text.len() as u64 > max_bytes {
        return Err(Failure::Refused(format!("{key}: {} is larger than {max_bytes} bytes", path.display())));
    }
    Ok(text)
}

/// Whether what goes to this server stays on this host.
fn is_local(server: &str) -> bool {
    let host = server.split_once("//").map_or(server, |(_, rest)| rest);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split([':', '/']).next(),
    };
    let host = host.unwrap_or_default();
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_told_from_others() {
        for (server, local) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:8080", true),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1:8080", false),
            ("http://cp.example.com:8080", false),
        ] {
            assert_eq!(is_local(server), local, "{server}");
        }
    }
}
