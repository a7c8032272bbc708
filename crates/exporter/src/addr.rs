//! Addresses as people write them.

use std::net::{Ipv4Addr, SocketAddr};

/// Why a text is no address. The sentence is for who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    #[error(
        "\"{text}\" has no port from 0 to 65535: write it as in 127.0.0.1:9090, or :9090 for all interfaces"
    )]
    Port { text: String },
    #[error(
        "\"{text}\" does not begin with an IP address: write it as in 127.0.0.1:9090, or :9090 for all interfaces"
    )]
    Host { text: String },
}

/// Reads `IP:PORT`, `[IPv6]:PORT`, `localhost:PORT`, or `:PORT` for all (IPv4) interfaces. Asks no DNS.
///
/// ```
/// # use nkudo_exporter::parse_addr;
/// assert_eq!(parse_addr(":9090")?, "0.0.0.0:9090".parse().unwrap());
/// assert!(parse_addr("9090").is_err());
/// # Ok::<(), nkudo_exporter::AddrError>(())
/// ```
///
/// # Errors
/// When the text is none of these.
pub fn parse_addr(text: &str) -> Result<SocketAddr, AddrError> {
    let no_port = || AddrError::Port { text: text.to_owned() };
    let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
    let plain = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|_| plain).ok_or_else(no_port)?;
    match host {
        "" => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        "localhost" => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        _ => text.parse().map_err(|_| AddrError::Host { text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_the_remedy() {
        let check = |text: &str, expected: &str| {
            let read = parse_addr(text).map_or_else(|error| error.to_string(), |addr| addr.to_string());
            assert!(read.starts_with(expected), "{text}: {read}");
            assert!(read == expected || read.ends_with("or :9090 for all interfaces"), "{text}: {read}");
        };
        check(":9090", "0.0.0.0:9090");
        check(":0", "0.0.0.0:0");
        check("127.0.0.1:19090", "127.0.0.1:19090");
        check("[::1]:9090", "[::1]:9090");
        check("localhost:80", "127.0.0.1:80");
        check("", "\"\" has no port");
        check("9090", "\"9090\" has no port");
        check(":", "\":\" has no port");
        check(":65536", "\":65536\" has no port");
        check(":+80", "\":+80\" has no port");
        check("127.0.0.1", "\"127.0.0.1\" has no port");
        check("::1:9090", "\"::1:9090\" does not begin with an IP");
        check("node.example:9090", "\"node.example:9090\" does not begin with an IP");
        check("256.0.0.1:9090", "\"256.0.0.1:9090\" does not begin with an IP");
    }
}
