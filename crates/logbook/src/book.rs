//! The log files of one daemon, searched beside its other work.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nkudo_api::view::List;
use nkudo_logging::{Cursor, Follow, Hit, Query, QueryError, SearchError, search};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::follower::Follower;

/// Searches that run at once; more wait.
const SEARCHES_MAX: usize = 2;
/// How long a search waits for its turn.
const TURN_DEADLINE: Duration = Duration::from_secs(10);
/// Followers at once; more are refused.
const FOLLOWERS_MAX: usize = 32;

/// The log files of one name. Cheap to clone; all clones share the bounds.
#[derive(Debug, Clone)]
pub struct LogBook(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    name: String,
    searches: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

/// Lines that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// As they stand in the files, in the order that was asked for.
    pub lines: Vec<String>,
    /// Where the next page begins; none when everything was looked through.
    pub next: Option<Cursor>,
    /// The end of the log when it was searched: what is asked for oldest first from here on came after it.
    pub end: Cursor,
}

/// A log does not answer.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error("the log is being searched by others; ask again in a moment")]
    Busy,
    #[error("{FOLLOWERS_MAX} follow the log already; end one of them, or ask again and again for pages")]
    Followers,
    #[error("the search did not come to its end; the log says why")]
    Broken,
}

impl BookError {
    /// What was wrong with the question, where it was.
    pub fn query(&self) -> Option<&QueryError> {
        match self {
            Self::Search(SearchError::Query(error)) => Some(error),
            Self::Search(SearchError::Name(_) | SearchError::NoDirectory { .. } | SearchError::Io { .. })
            | Self::Busy
            | Self::Followers
            | Self::Broken => None,
        }
    }
}

impl LogBook {
    /// The files of this name in a directory, which need not be there yet.
    pub fn new(directory: impl AsRef<Path>, name: &str) -> Self {
        Self(Arc::new(Inner {
            directory: directory.as_ref().to_owned(),
            name: name.to_owned(),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        }))
    }

    /// One page of lines: of at most [`Query::max_bytes`], or a single line that is longer. A shorter page than was asked for
    /// goes on all the same.
    ///
    /// # Errors
    /// When the question makes no sense, the files cannot be read, or others search them for too long.
    pub async fn lines(&self, query: Query) -> Result<Page, BookError> {
        let book = self.clone();
        self.blocking(move || book.search(&query)).await
    }

    /// One page as lists are answered: the lines as JSON, as they stand in the files.
    ///
    /// # Errors
    /// As [`lines`](Self::lines).
    pub async fn page(&self, query: Query) -> Result<List<Box<RawValue>>, BookError> {
        let Page { lines, next, end: _ } = self.lines(query).await?;
        // What matched has been read as JSON.
        let items = lines.into_iter().filter_map(|line| RawValue::from_string(line).ok()).collect();
        Ok(List { items, next_cursor: next.map(|cursor| cursor.to_string()) })
    }

    /// New lines from now on, after the newest `query.limit` that are there; or all from `query.cursor` on.
    ///
    /// # Errors
    /// As [`lines`](Self::lines), and when too many follow already.
    pub async fn follow(&self, query: Query) -> Result<Follower, BookError> {
        let place = Arc::clone(&self.0.followers).try_acquire_owned().map_err(|_| BookError::Followers)?;
        let book = self.clone();
        let (first, follow) = self.blocking(move || book.begin(query)).await?;
        Ok(Follower::new(self.clone(), first, follow, place))
    }

    fn search(&self, query: &Query) -> Result<Page, SearchError> {
        let Inner { directory, name, .. } = &*self.0;
        let found = search(directory, name, query)?;
        Ok(Page { lines: texts(found.hits), next: found.next, end: found.end })
    }

    /// The newest lines, and a follower of what comes after them.
    fn begin(&self, query: Query) -> Result<(Vec<String>, Follow), SearchError> {
        let Inner { directory, name, .. } = &*self.0;
        if query.cursor.is_some() {
            return Ok((Vec::new(), Follow::new(directory, name, &query)?));
        }
        let wanted = query.limit;
        let found = match search(directory, name, &Query { limit: wanted.max(1), ..query.clone() }) {
            // It may come yet.
            Err(SearchError::NoDirectory { .. }) => {
                return Ok((Vec::new(), Follow::new(directory, name, &query)?));
            }
            found => found?,
        };
        let mut lines = texts(found.hits);
        lines.truncate(wanted);
        lines.reverse();
        let from = Query { cursor: Some(found.end), ..query };
        Ok((lines, Follow::new(directory, name, &from)?))
    }

    /// Does what waits for the disk, in its turn, where no worker waits with it.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SearchError> + Send + 'static,
    ) -> Result<T, BookError> {
        let turn = tokio::time::timeout(TURN_DEADLINE, Arc::clone(&self.0.searches).acquire_owned()).await;
        let turn: OwnedSemaphorePermit = turn.map_err(|_| BookError::Busy)?.map_err(|_| BookError::Broken)?;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(|_| BookError::Broken)??)
    }
}

pub(crate) fn texts(hits: Vec<Hit>) -> Vec<String> {
    hits.into_iter().map(|hit| hit.line).collect()
}
