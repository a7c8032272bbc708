//! Why a call was not answered as hoped.

use tonic::{Code, Status};

/// What kind of failure, so that the caller knows what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcErrorKind {
    /// The handshake failed, also where that shows only afterwards.
    Tls,
    /// No certificate, or one that is no longer good, or a token that is not.
    Unauthenticated,
    /// The caller is known and may not.
    PermissionDenied,
    /// What was sent is wrong; sending it again changes nothing.
    Invalid,
    /// Both ends do not fit: their versions differ too much.
    Version,
    /// Too much at once; later it may succeed.
    Exhausted,
    /// The other end says that it cannot, or is about to end.
    Unavailable,
    /// The connection broke: whose fault that was is not known.
    Broken,
    /// It took too long.
    Deadline,
    /// The other end failed.
    Internal,
}

/// A call failed; the sentence is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    pub kind: RpcErrorKind,
    pub message: String,
}

impl RpcError {
    pub fn new(kind: RpcErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn from_status(status: &Status) -> Self {
        // A status that carries an error was made on this side. Either that is a status of its own, of a message that is
        // too large for example, or the connection broke, and its own words are no help.
        let mut cause = std::error::Error::source(status);
        while let Some(error) = cause {
            if let Some(inner) = error.downcast_ref::<Status>() {
                return Self::from_status(inner);
            }
            if error.source().is_none() {
                tracing::debug!(cause = error.to_string(), "a connection broke");
                return Self::new(RpcErrorKind::Broken, "the connection broke");
            }
            cause = error.source();
        }
        Self::new(kind(status.code()), status.message())
    }

    pub(crate) fn into_status(self) -> Status {
        let code = match self.kind {
            RpcErrorKind::Tls | RpcErrorKind::Unauthenticated => Code::Unauthenticated,
            RpcErrorKind::PermissionDenied => Code::PermissionDenied,
            RpcErrorKind::Invalid => Code::InvalidArgument,
            RpcErrorKind::Version => Code::FailedPrecondition,
            RpcErrorKind::Exhausted => Code::ResourceExhausted,
            RpcErrorKind::Unavailable | RpcErrorKind::Broken => Code::Unavailable,
            RpcErrorKind::Deadline => Code::DeadlineExceeded,
            RpcErrorKind::Internal => Code::Internal,
        };
        Status::new(code, self.message)
    }
}

fn kind(code: Code) -> RpcErrorKind {
    match code {
        Code::Unauthenticated => RpcErrorKind::Unauthenticated,
        Code::PermissionDenied => RpcErrorKind::PermissionDenied,
        Code::InvalidArgument | Code::AlreadyExists | Code::NotFound => RpcErrorKind::Invalid,
        Code::FailedPrecondition | Code::Unimplemented => RpcErrorKind::Version,
        // A message that is too large is out of range for tonic.
        Code::ResourceExhausted | Code::OutOfRange => RpcErrorKind::Exhausted,
        Code::Unavailable | Code::Cancelled | Code::Aborted => RpcErrorKind::Unavailable,
        Code::DeadlineExceeded => RpcErrorKind::Deadline,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => RpcErrorKind::Internal,
    }
}
