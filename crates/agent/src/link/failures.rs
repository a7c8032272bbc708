//! Why there is no session, and what that is in the words of the ledger of outages.

use std::io::ErrorKind;
use std::time::Duration;

use nkudo_executor::NoAnswer;
use nkudo_fleet::outage::Failure;
use nkudo_pki::TlsFault;
use nkudo_rpc::{ConnectError, RpcError, RpcErrorKind};

use super::session::Ended;
use crate::identity::IdentityError;

/// Why an open session does not go on.
pub(super) enum Broken {
    Rpc(RpcError),
    Executor(NoAnswer),
    /// The control plane closed the link without a word.
    Closed,
    /// The journal here lost records, so that results get other numbers, which only another hello says.
    RecordsLost,
}

impl Broken {
    pub(super) fn ended(&self, lived: bool) -> Ended {
        let refused = matches!(self, Self::Rpc(error) if error.kind == RpcErrorKind::Unauthenticated);
        Ended::Failed { error: self.to_string(), failure: self.failure(), refused, lived }
    }

    fn failure(&self) -> Failure {
        match self {
            Self::Rpc(error) => of_call(error),
            Self::Executor(_) | Self::RecordsLost => Failure::Part,
            Self::Closed => Failure::Closed,
        }
    }
}

impl From<RpcError> for Broken {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<NoAnswer> for Broken {
    fn from(error: NoAnswer) -> Self {
        Self::Executor(error)
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rpc(error) => error.fmt(f),
            Self::Executor(error) => error.fmt(f),
            Self::Closed => f.write_str("the control plane closed the link"),
            Self::RecordsLost => f.write_str(
                "the journal here lost records, so the link is opened anew to number results in another series",
            ),
        }
    }
}

/// No connection came about.
pub(super) fn of_opening(error: &IdentityError) -> Failure {
    match error {
        IdentityError::Connect(error) => of_connecting(error),
        IdentityError::Refused { error } => of_call(error),
        IdentityError::Deadline => Failure::Mute,
        IdentityError::NotOnRecord(_) => Failure::Part,
        IdentityError::Stored(_)
        | IdentityError::Target(_)
        | IdentityError::Token(_)
        | IdentityError::AlreadyEnrolled { .. }
        | IdentityError::NotEnrolled
        | IdentityError::Credentials(_)
        | IdentityError::Expired => Failure::Credentials,
    }
}

fn of_connecting(error: &ConnectError) -> Failure {
    match error {
        ConnectError::Dns { .. } | ConnectError::Name { .. } => Failure::Name,
        ConnectError::Tcp { source, .. } if source.kind() == ErrorKind::ConnectionRefused => {
            Failure::NobodyListens
        }
        ConnectError::Tcp { .. } | ConnectError::Deadline { reached: false, .. } => Failure::Unreachable,
        ConnectError::Deadline { reached: true, .. } => Failure::Mute,
        ConnectError::Tls(TlsFault::NotTls | TlsFault::Other(_)) | ConnectError::Http2 { .. } => {
            Failure::Foreign
        }
        ConnectError::Tls(
            TlsFault::Expired { .. }
            | TlsFault::NotYetValid { .. }
            | TlsFault::WrongName { .. }
            | TlsFault::UnknownAuthority
            | TlsFault::FingerprintMismatch { .. }
            | TlsFault::Revoked
            | TlsFault::NotAServerCertificate
            | TlsFault::Refused(_),
        ) => Failure::Credentials,
    }
}

/// A call over an open connection failed.
pub(super) fn of_call(error: &RpcError) -> Failure {
    match error.kind {
        RpcErrorKind::Tls | RpcErrorKind::Unauthenticated | RpcErrorKind::PermissionDenied => {
            Failure::Credentials
        }
        RpcErrorKind::Broken | RpcErrorKind::Deadline => Failure::Broke,
        RpcErrorKind::Invalid
        | RpcErrorKind::Version
        | RpcErrorKind::Exhausted
        | RpcErrorKind::Unavailable
        | RpcErrorKind::Internal => Failure::Unavailable,
    }
}

/// What is said of a control plane that is about to end.
pub(super) fn asked_to_wait(asked: Duration) -> String {
    format!("the control plane is about to end and asked to be left alone for {} s", asked.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_failure_is_blamed_on_the_end_that_it_was_seen_at() {
        let check = |error: ConnectError, expected: &str| {
            let told = error.to_string();
            assert_eq!(of_opening(&error.into()).cause().as_str(), expected, "{told}");
        };
        let tcp = |kind: ErrorKind| ConnectError::Tcp { addrs: "[::1]:1".to_owned(), source: kind.into() };
        let late = |reached| ConnectError::Deadline {
            target: "https://cp.example".parse().unwrap(),
            deadline: Duration::from_secs(10),
            reached,
        };
        let dns = io::Error::other("failed to lookup address information");
        check(ConnectError::Dns { host: "cp.example".to_owned(), source: dns }, "link");
        check(tcp(ErrorKind::HostUnreachable), "link");
        check(tcp(ErrorKind::NetworkUnreachable), "link");
        check(tcp(ErrorKind::TimedOut), "link");
        check(late(false), "link");
        check(tcp(ErrorKind::ConnectionRefused), "control_plane");
        check(late(true), "control_plane");
        check(ConnectError::Tls(TlsFault::NotTls), "control_plane");
        check(ConnectError::Tls(TlsFault::Other("tls handshake eof".to_owned())), "control_plane");
        check(ConnectError::Tls(TlsFault::UnknownAuthority), "credentials");
        check(ConnectError::Tls(TlsFault::Expired { not_after_ms: 0 }), "credentials");
        check(ConnectError::Tls(TlsFault::Refused("it was revoked")), "credentials");
        assert_eq!(of_opening(&IdentityError::Expired), Failure::Credentials);
        for (kind, expected) in [
            (RpcErrorKind::Unauthenticated, Failure::Credentials),
            (RpcErrorKind::Broken, Failure::Broke),
            (RpcErrorKind::Deadline, Failure::Broke),
            (RpcErrorKind::Unavailable, Failure::Unavailable),
            (RpcErrorKind::Version, Failure::Unavailable),
        ] {
            assert_eq!(of_call(&RpcError::new(kind, "no")), expected, "{kind:?}");
        }
        let told = |broken: Broken| {
            let Ended::Failed { error, failure, .. } = broken.ended(true) else {
                panic!("{broken} is a failure")
            };
            (error, failure.cause().as_str())
        };
        let (error, cause) = told(Broken::RecordsLost);
        assert!(error.contains("lost records") && cause == "crash", "{error}: {cause}");
        assert_eq!(told(Broken::Closed), ("the control plane closed the link".to_owned(), "control_plane"));
        let waits = asked_to_wait(Duration::from_millis(1_500));
        assert!(waits.ends_with("left alone for 1.5 s"), "{waits}");
    }
}
