//! Who is talked to, and how an address is read.

use std::fmt;
use std::path::PathBuf;

use http::Uri;
use nkudo_pki::shown_url;
use rustls_pki_types::ServerName;

use crate::ClientError;

/// Who is talked to, as errors name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// The daemon that listens on a socket of this host.
    Daemon(PathBuf),
    Server(Server),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon(socket) => write!(f, "the daemon behind {}", socket.display()),
            Self::Server(server) => server.fmt(f),
        }
    }
}

/// A server's address; shown as the URL that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    scheme: &'static str,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Server {
    /// Reads a URL of `scheme`, with nothing behind the port.
    pub(crate) fn parse(text: &str, scheme: &'static str) -> Result<Self, ClientError> {
        let wrong = |detail: String| ClientError::Uri { uri: shown_url(text), detail };
        let uri: Uri = text.parse().map_err(|_| wrong("is not a URL".to_owned()))?;
        if uri.scheme_str() != Some(scheme) {
            return Err(wrong(format!("does not begin with {scheme}://")));
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(wrong("names a user; a token is given apart from the address".to_owned()));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path; it ends with the port".to_owned()));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(wrong("names no host".to_owned()));
        }
        // What the parser cannot read as a port it leaves out without a word.
        let written = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match (written.is_empty(), authority.port_u16()) {
            (true, _) if scheme == "http" => 80,
            (true, _) => 443,
            (false, Some(port)) if port > 0 => port,
            (false, _) => return Err(wrong("has no port from 1 to 65535 behind the colon".to_owned())),
        };
        Ok(Self { scheme, host, port })
    }

    /// The name that the server's certificate must be for.
    pub(crate) fn name(&self) -> Result<ServerName<'static>, ClientError> {
        ServerName::try_from(self.host.clone()).map_err(|_| ClientError::Uri {
            uri: self.to_string(),
            detail: format!("names `{}`, which is neither a DNS name nor an address", self.host),
        })
    }

    /// Host and port as the `Host` header has them.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scheme: &'static str, text: &str, expected: Result<&str, &str>) {
        match (Server::parse(text, scheme), expected) {
            (Ok(server), Ok(shown)) => assert_eq!(server.to_string(), shown, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (other, _) => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn addresses_are_read_or_refused_with_the_reason() {
        check("http", "http://127.0.0.1:8080", Ok("http://127.0.0.1:8080"));
        check("http", "http://localhost", Ok("http://localhost:80"));
        check("https", "https://cp.example.com", Ok("https://cp.example.com:443"));
        check("https", "https://[::1]:8443/", Ok("https://[::1]:8443"));
        check("http", "https://cp.example.com", Err("does not begin with http://"));
        check("http", "127.0.0.1:8080", Err("does not begin with http://"));
        check("http", "", Err("is not a URL"));
        check("https", "https://h/v1/agents", Err("has a path"));
        check("https", "https://h?x=1", Err("has a path"));
        check("http", "http://h:99999", Err("port"));
        check("http", "http://h:", Err("port"));
    }

    #[test]
    fn what_stands_before_an_at_sign_is_not_repeated() {
        for text in
            ["http://ops:hunter2@h:1", "ftp://ops:hunter2@h", "http://h?t=hunter2", "http://ops:hunter2@h h"]
        {
            let error = Server::parse(text, "http").unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
