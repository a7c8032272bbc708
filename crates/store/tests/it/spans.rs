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
    let mut finished = Vec::new();
    drain.unwrap().pass(|span| finished.extend(span.to_finished()));
    let request = finished.last().unwrap().span_id;
    let told: Vec<_> = finished
        .iter()
        .map(|span| {
            let error = span.attribute("error").map(ToString::to_string);
            (&*span.name, span.parent_id, error.is_some_and(|error| error.contains("cursor")))
        })
        .collect();
    let expected = [
        ("store create_tenant", Some(request), false),
        ("store actions", Some(request), true),
        ("request", None, false),
    ];
    assert_eq!(told, expected, "a ping outside of everything begins no trace");
}
