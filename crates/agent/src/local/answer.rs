//! Answers that are not what was hoped for.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use nkudo_api::body::BodyError;
use nkudo_api::{FieldError, Problem};
use nkudo_executor::NoAnswer;

/// Largest body of a request, in bytes.
const BODY_MAX_BYTES: usize = 1 << 20;

/// How long a client may take to send a body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// A problem as an HTTP answer.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Problem);

impl Refused {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Problem::new(status.as_u16(), status.canonical_reason().unwrap_or("Error"), detail))
    }

    pub(crate) fn invalid(path: &str, detail: impl Into<String>) -> Self {
        Self(Problem::invalid(vec![FieldError { path: path.to_owned(), detail: detail.into() }]))
    }
}

impl From<NoAnswer> for Refused {
    fn from(error: NoAnswer) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, Problem::CONTENT_TYPE)], body).into_response();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

pub(crate) async fn not_found(uri: Uri) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, format!("there is no {} on this host's socket", uri.path()))
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Refused {
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}

/// The whole body, within its bound.
pub(crate) async fn body(body: axum::body::Body) -> Result<Bytes, Refused> {
    let too_large = |_| {
        let detail = format!("the body is larger than {BODY_MAX_BYTES} bytes, or was cut off");
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let late = |_| {
        let detail = format!("the body did not come within {} s", BODY_DEADLINE.as_secs());
        Refused::new(StatusCode::REQUEST_TIMEOUT, detail)
    };
    let whole = axum::body::to_bytes(body, BODY_MAX_BYTES);
    tokio::time::timeout(BODY_DEADLINE, whole).await.map_err(late)?.map_err(too_large)
}

/// The body as JSON.
pub(crate) fn json(bytes: &[u8]) -> Result<serde_json::Value, Refused> {
    nkudo_api::body::read(bytes).map_err(|error| match error {
        BodyError::NotJson(why) => {
            Refused::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {why}"))
        }
        BodyError::Twice(fault) => Refused(Problem::invalid(vec![fault])),
    })
}
