//! One operation: begun, measured, and ended whole or not at all.

use std::sync::Arc;
use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::StoreObserver;
use super::fault::Fault;
use crate::error::StoreError;

/// One operation under way.
pub(super) struct Deed<C> {
    pub(super) name: &'static str,
    pub(super) started: Instant,
    pub(super) observer: Option<Arc<dyn StoreObserver>>,
    pub(super) connection: C,
}

impl<C> Deed<C> {
    fn ended<T>(
        name: &'static str,
        started: Instant,
        observer: Option<&dyn StoreObserver>,
        done: Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if let Some(observer) = observer {
            observer.query(name, started.elapsed(), done.is_err());
        }
        done.map_err(|fault| fault.during(name))
    }
}

impl Deed<Transaction<'static, Sqlite>> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Commits what was done, or leaves the books as they were.
    pub(super) async fn end<T>(self, done: Result<T, Fault>) -> Result<T, StoreError> {
        let Self { name, started, observer, connection } = self;
        let done = match done {
            Ok(done) => connection.commit().await.map(|()| done).map_err(Fault::from),
            Err(fault) => {
                if let Err(error) = connection.rollback().await {
                    tracing::debug!(%error, "a transaction was not rolled back; its connection is dropped");
                }
                Err(fault)
            }
        };
        Self::ended(name, started, observer.as_deref(), done)
    }
}

impl Deed<PoolConnection<Sqlite>> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    #[expect(clippy::unused_async, reason = "as the one that commits")]
    pub(super) async fn end<T>(self, done: Result<T, Fault>) -> Result<T, StoreError> {
        Self::ended(self.name, self.started, self.observer.as_deref(), done)
    }
}
