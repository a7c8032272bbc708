//! One request on one connection.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::future::{Either, Fuse, FutureExt, select};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::Answer;
use crate::error::{ClientError, connect_error};

/// Largest answer that is taken, in bytes.
const ANSWER_MAX_BYTES: usize = 16 << 20;

/// What moves the bytes of a connection. It must be polled for the answer to come; once it has ended it may be polled
/// further.
pub(crate) type Driver = Fuse<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>;

/// Connects and sends a request; gives the answer's head and what brings its body.
pub(crate) async fn open(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(Response<Incoming>, Driver), ClientError> {
    let stream = nkudo_host::unix::connect(socket).await.map_err(|source| connect_error(socket, source))?;
    let broken = |source| ClientError::Broken { source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>> = Box::pin(connection);
    let mut driver = connection.fuse();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "agent")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|source| ClientError::Path { path: path.to_owned(), source })?;
    let response = while_driven(&mut driver, sender.send_request(request)).await.map_err(broken)?;
    Ok((response, driver))
}

/// Waits for `work` and moves the connection's bytes meanwhile. A connection that ends lets the work see it.
/// As cancel safe as `work` is: the connection stays where it was.
pub(crate) async fn while_driven<T>(driver: &mut Driver, work: impl Future<Output = T>) -> T {
    let work = std::pin::pin!(work);
    match select(work, driver).await {
        Either::Left((done, _)) => done,
        Either::Right((_ended, work)) => work.await,
    }
}

/// A request with its whole answer.
pub(crate) async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Answer, ClientError> {
    let (response, mut driver) = open(socket, method, path, body).await?;
    whole(response, &mut driver).await
}

/// The answer to a response's head, with its body as far as the bound.
pub(crate) async fn whole(response: Response<Incoming>, driver: &mut Driver) -> Result<Answer, ClientError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect();
    match while_driven(driver, body).await {
        Ok(body) => Ok(Answer { status, body: body.to_bytes().to_vec() }),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ClientError::TooLarge { max_bytes: ANSWER_MAX_BYTES })
        }
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(source) => Err(ClientError::Broken { source: *source }),
            Err(_) => Err(ClientError::Status { status: status.as_u16() }),
        },
    }
}
