//! Answers: what was asked for, or a problem.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nkudo_api::body::BodyError;
use nkudo_api::{FieldError, Problem};
use nkudo_store::StoreError;
use serde::Serialize;

/// Largest body of a request, in bytes.
pub(super) const BODY_MAX_BYTES: usize = 1 << 20;
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

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Cursor => Self::invalid("cursor", error.to_string()),
            StoreError::Full => Self::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string()),
            StoreError::Locked | StoreError::ReadOnly => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store refused a request");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            StoreError::Address(_)
            | StoreError::Newer { .. }
            | StoreError::Open { .. }
            | StoreError::Migrate { .. }
            | StoreError::Failed { .. }
            | StoreError::Corrupt { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed a request");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "the database failed; the server's log says how")
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, Problem::CONTENT_TYPE)], body).into_response();
        let headers = response.headers_mut();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What a handler answers.
pub(super) type Answered = Result<Response, Refused>;

/// An answer as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answered {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written")
    })?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The whole body, within its bound.
pub(super) async fn body(body: Body) -> Result<Bytes, Refused> {
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

/// The body as JSON; an empty one is an empty object.
pub(super) fn parsed(bytes: &[u8]) -> Result<serde_json::Value, Refused> {
    if bytes.is_empty() {
        return Ok(serde_json::json!({}));
    }
    nkudo_api::body::read(bytes).map_err(|error| match error {
        BodyError::NotJson(why) => {
            Refused::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {why}"))
        }
        BodyError::Twice(fault) => Refused(Problem::invalid(vec![fault])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_a_member_twice_is_not_valid_and_one_that_is_not_json_is_a_bad_request() {
        let refused = |body: &str| parsed(body.as_bytes()).expect_err(body).0;
        let twice = refused(r#"{"action_type":"MicroVMStop","params":{"vm_id":"a","vm_id":"b"}}"#);
        let fault = FieldError { path: "params.vm_id".to_owned(), detail: "is given twice".to_owned() };
        assert_eq!((twice.status, twice.errors), (422, vec![fault]));
        let cut = refused(r#"{"a":1,"a":"#);
        assert_eq!((cut.status, cut.errors.len()), (400, 0));
        assert!(cut.detail.starts_with("the body is not JSON: "), "{cut}");
    }
}
