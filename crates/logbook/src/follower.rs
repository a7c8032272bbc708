//! New lines, for whoever waits for them.

use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use nkudo_logging::{Cursor, Follow};
use tokio::sync::OwnedSemaphorePermit;

use crate::book::{BookError, LogBook, texts};

/// How often it is looked for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Gives new lines as they come. It holds one of the places of those who follow.
#[derive(Debug)]
pub struct Follower {
    book: LogBook,
    /// Lines that were there already, until they are given.
    first: Vec<String>,
    /// Lent to a look; none after one that was dropped or broke.
    follow: Option<Follow>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    pub(crate) fn new(
        book: LogBook,
        first: Vec<String>,
        follow: Follow,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { book, first, follow: Some(follow), _place: place }
    }

    /// Waits for lines and gives them, oldest first; never none. Not cancel safe: after a look that was dropped it gives
    /// [`BookError::Broken`].
    ///
    /// # Errors
    /// When the files cannot be read, or others search them for too long.
    pub async fn next(&mut self) -> Result<Vec<String>, BookError> {
        if !self.first.is_empty() {
            return Ok(std::mem::take(&mut self.first));
        }
        loop {
            let mut follow = self.follow.take().ok_or(BookError::Broken)?;
            let looked = self.book.blocking(move || {
                let hits = follow.poll()?;
                Ok((follow, hits))
            });
            let (follow, hits) = looked.await?;
            self.follow = Some(follow);
            if !hits.is_empty() {
                return Ok(texts(hits));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Behind the lines that were given, and those that are there already. None after a look that was dropped or broke.
    fn place(&self) -> Option<Cursor> {
        self.follow.as_ref().map(Follow::cursor)
    }

    /// The lines one by one. The stream ends where the log can no longer be read, which is told in the log.
    pub fn lines(self) -> impl Stream<Item = String> + Send {
        self.batches().flat_map(|(lines, _)| stream::iter(lines))
    }

    /// The lines as they are found, each time with the place behind them, from which [`LogBook::follow`] goes on. First
    /// those that were there already, also where these are none. The stream ends as that of [`Follower::lines`].
    pub fn batches(mut self) -> impl Stream<Item = (Vec<String>, Option<Cursor>)> + Send {
        let first = (std::mem::take(&mut self.first), self.place());
        let later = stream::unfold(self, |mut follower| async {
            match follower.next().await {
                Ok(lines) => Some(((lines, follower.place()), follower)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the log is followed no longer");
                    None
                }
            }
        });
        stream::iter([first]).chain(later)
    }
}
