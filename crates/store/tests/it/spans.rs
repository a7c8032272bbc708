//! Operations as spans.

use nkudo_spans::{SpansOptions, spans};
use nkudo_store::{ActionFilter, Page, SqliteStore, Store as _};
use tracing::Instrument as _;

use crate::tenant;

#[tokio::test]
async fn an_operation_within_a_span_is_a_span_which_says_why_it_failed() {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let _guard = tracing::subscriber::set_default(subscriber);
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    store.ping().await.unwrap();
    async {
        store.create_tenant(&tenant("acme"), 0).await.unwrap();
        let nonsense = Page { limit: 1, cursor: Some("nonsense".to_owned()) };
        store.actions(&tenant("acme"), &ActionFilter::default(), &nonsense).await.unwrap_err();
    }
    .instrument(tracing::info_span!("request"))
    .await;
    let (mut drain, mut finished) = (drain.unwrap(), Vec::new());
    // The thread of the database lets go of an operation's span a moment after it has answered.
    while finished.len() < 3 {
        drain.pass(|span| finished.extend(span.to_finished()));
        tokio::task::yield_now().await;
    }
    finished.sort_by_key(|span| span.start_unix_ns);
    let request = finished[0].span_id;
    let told: Vec<_> = finished
        .iter()
        .map(|span| {
            let error = span.attribute("error").map(ToString::to_string);
            (&*span.name, span.parent_id, error.is_some_and(|error| error.contains("cursor")))
        })
        .collect();
    let expected = [
        ("request", None, false),
        ("store create_tenant", Some(request), false),
        ("store actions", Some(request), true),
    ];
    assert_eq!(told, expected, "a ping outside of everything begins no trace");
}
