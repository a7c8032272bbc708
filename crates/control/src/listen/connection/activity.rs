//! Whether anything is being asked on a connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

/// Counts requests.
#[derive(Debug, Default)]
pub(super) struct Activity(watch::Sender<Requests>);

#[derive(Debug, Default)]
struct Requests {
    open: usize,
    begun: u64,
}

impl Activity {
    /// A request was begun; it is open until what this answers is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> OpenRequest {
        self.0.send_modify(|requests| {
            requests.open += 1;
            requests.begun += 1;
        });
        OpenRequest(Arc::clone(self))
    }

    /// Waits until no request has come within `first`, or none has been open for `idle`.
    pub(super) async fn idle(&self, first: Duration, idle: Duration) {
        let mut requests = self.0.subscribe();
        let (mut patience, mut seen) = (first, 0);
        // The sender lives as long as `self`, so that a wait only ends with a change or in time.
        while timeout(patience, requests.wait_for(|requests| requests.begun > seen)).await.is_ok() {
            seen =
                requests.wait_for(|requests| requests.open == 0).await.map_or(0, |requests| requests.begun);
            patience = idle;
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct OpenRequest(Arc<Activity>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.0.send_modify(|requests| requests.open -= 1);
    }
}

impl OpenRequest {
    /// A stream is open until its end. An answer of known size is over with its head: nobody holds a connection by not
    /// reading it.
    pub(super) fn until_end_of(self, response: Response<Body>) -> Response<Body> {
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| Body::new(Streamed { body, _open: self }))
    }
}

struct Streamed {
    body: Body,
    _open: OpenRequest,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(120);

    /// How long it takes until the connection is idle, while `life` goes on on it.
    async fn idle_after(life: impl AsyncFnOnce(Arc<Activity>)) -> Duration {
        let activity = Arc::new(Activity::default());
        let begun = tokio::time::Instant::now();
        tokio::join!(activity.idle(FIRST, IDLE), life(Arc::clone(&activity)));
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_some_time_after_its_last_request() {
        assert_eq!(idle_after(async |_| ()).await.as_secs(), 10, "nothing was asked");
        let asked_once = async |activity: Arc<Activity>| {
            tokio::time::sleep(Duration::from_secs(9)).await;
            drop(activity.begin());
        };
        assert_eq!(idle_after(asked_once).await.as_secs(), 129);
        let two_at_once = async |activity: Arc<Activity>| {
            let (short, long) = (activity.begin(), activity.begin());
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(short);
            tokio::time::sleep(Duration::from_secs(1_000)).await;
            drop(long);
        };
        assert_eq!(idle_after(two_at_once).await.as_secs(), 1_220);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_open_to_its_end_and_an_answer_of_known_size_is_not() {
        let activity = Arc::new(Activity::default());
        let small = activity.begin().until_end_of(Response::new(Body::from("done")));
        assert_eq!(activity.0.borrow().open, 0);
        let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
        let streamed = activity.begin().until_end_of(Response::new(Body::from_stream(stream)));
        assert_eq!(activity.0.borrow().open, 1);
        let body = axum::body::to_bytes(streamed.into_body(), 9).await.unwrap();
        assert_eq!((&body[..], activity.0.borrow().open), (&b"x"[..], 0));
        drop(small);
    }
}
