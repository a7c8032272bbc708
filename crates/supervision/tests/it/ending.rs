//! Components end in order.

use std::time::Duration;

use nkudo_supervision::ComponentSpec;

use crate::{serve, supervisor};

#[tokio::test(start_paused = true)]
async fn components_end_in_reverse_order_and_the_hung_are_named() {
    let (_registry, supervisor) = supervisor();
    let (ends, mut ended) = tokio::sync::mpsc::channel(3);
    for name in ["first", "second", "third"] {
        let ends = ends.clone();
        supervisor.start(ComponentSpec::new(name), move |context| {
            let ends = ends.clone();
            async move {
                context.shutdown.cancelled().await;
                if name == "second" {
                    std::future::pending::<()>().await;
                }
                ends.send(name).await?;
                Ok(())
            }
        });
    }
    tokio::task::yield_now().await;
    assert_eq!(supervisor.shutdown(Duration::from_secs(5)).await, ["second", "first"]);
    assert_eq!(ended.recv().await, Some("third"));
}

#[tokio::test(start_paused = true)]
async fn a_component_that_does_not_stop_is_dropped() {
    let (_registry, supervisor) = supervisor();
    let (guard, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
    supervisor.start(ComponentSpec::new("deaf"), move |_| {
        let guard = guard.clone();
        async move {
            guard.closed().await;
            Ok(())
        }
    });
    assert_eq!(supervisor.shutdown(Duration::from_secs(1)).await, ["deaf"]);
    assert_eq!(dropped.recv().await, None, "nobody holds the guard");
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_after_the_end() {
    let (_registry, supervisor) = supervisor();
    assert_eq!(supervisor.shutdown(Duration::from_secs(1)).await, Vec::<String>::new());
    supervisor.start(ComponentSpec::new("late"), serve);
    assert_eq!(supervisor.health().components.len(), 0);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "worker is started twice")]
async fn a_name_is_one_component() {
    let (_registry, supervisor) = supervisor();
    supervisor.start(ComponentSpec::new("worker"), serve);
    supervisor.start(ComponentSpec::new("worker"), serve);
}
