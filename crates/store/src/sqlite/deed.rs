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
    pub(super) fn begun(
        name: &'static str,
        started: Instant,
        observer: Option<Arc<dyn StoreObserver>>,
        begun: Result<C, sqlx::Error>,
    ) -> Result<Self, StoreError> {
        match begun {
            Ok(connection) => Ok(Self { name, started, observer, connection }),
            Err(error) => Self::ended(name, started, observer.as_deref(), Err(error.into())),
        }
    }

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
        let Self { name, started, observer, mut connection } = self;
        let done = match done {
            Ok(done) => connection.commit().await.map(|()| done).map_err(Fault::from),
            Err(fault) => {
                // A full disk makes SQLite end the transaction by itself and refuse to roll it back; the driver goes on
                // counting it, and the connection would begin no other. So there is one to roll back in any case.
                if let Err(error) = sqlx::query("BEGIN").execute(&mut *connection).await {
                    tracing::trace!(%error, "the transaction is there to be rolled back");
                }
                if let Err(error) = connection.rollback().await {
                    tracing::debug!(%error, "a transaction was not rolled back; its connection is closed");
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

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use crate::{SqliteStore, Store as _, StoreError};

    #[tokio::test]
    async fn a_full_database_says_so_each_time_and_works_when_it_has_room() {
        let store = SqliteStore::open("sqlite::memory:").await.unwrap();
        let pages = sqlx::query("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
        let pages: i64 = pages.get(0);
        let limit = |pages: i64| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(limit(pages)).execute(&store.writer).await.unwrap();
        let mut made = 0;
        let error = loop {
            match store.create_tenant(&format!("tenant-{made}").parse().unwrap(), 0).await {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
            assert!(made < 10_000, "a page is full by now");
        };
        assert!(matches!(error, StoreError::Full), "{error:?}");
        let tenant_id = format!("tenant-{made}").parse().unwrap();
        for _ in 0..3 {
            let error = store.create_tenant(&tenant_id, 0).await.unwrap_err();
            assert!(matches!(error, StoreError::Full), "{error:?}");
        }
        sqlx::raw_sql(limit(pages + 99)).execute(&store.writer).await.unwrap();
        assert!(store.create_tenant(&tenant_id, 0).await.unwrap(), "it was not half made");
    }
}
