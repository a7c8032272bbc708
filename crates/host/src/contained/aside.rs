//! Work that blocks, beside the tasks of the runtime.

use std::panic::resume_unwind;

/// Does it on a thread that may block. None when the runtime is shutting down and it was not begun. Work that is not
/// awaited to its end goes on to its end all the same.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => error.try_into_panic().map_or(None, |panic| resume_unwind(panic)),
    }
}
