//! Components end in order, all or one.

use std::time::Duration;

use nkudo_supervision::{ComponentSpec, Health};

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
async fn one_component_can_be_stopped_and_its_name_used_again() {
    let (_registry, supervisor) = supervisor();
    supervisor.start(ComponentSpec::new("stays"), serve);
    let first = supervisor.start(ComponentSpec::new("goes"), |context| async move {
        context.health.set(Health::Degraded("no link".to_owned()));
        serve(context).await
    });
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(supervisor.health().overall, Health::Degraded("goes: no link".to_owned()));
    assert!(first.stop(Duration::from_secs(1)).await);
    assert_eq!((first.report(), supervisor.health().overall), (None, Health::Healthy));
    let names = || supervisor.health().components.iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(), ["stays"]);
    let second = supervisor.start(ComponentSpec::new("goes"), serve);
    assert_eq!((names(), second.name()), (vec!["stays", "goes"], "goes"));
    assert_eq!(supervisor.shutdown(Duration::from_secs(1)).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_component_that_does_not_stop_is_dropped() {
    let (_registry, supervisor) = supervisor();
    let (guard, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
    let handle = supervisor.start(ComponentSpec::new("deaf"), move |_| {
        let guard = guard.clone();
        async move {
            guard.closed().await;
            Ok(())
        }
    });
    assert!(!handle.stop(Duration::from_secs(1)).await);
    assert_eq!(dropped.recv().await, None, "nobody holds the guard");
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_after_the_end() {
    let (_registry, supervisor) = supervisor();
    assert_eq!(supervisor.shutdown(Duration::from_secs(1)).await, Vec::<String>::new());
    let late = supervisor.start(ComponentSpec::new("late"), serve);
    assert_eq!((late.report(), supervisor.health().components.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "worker is started twice")]
async fn a_name_is_one_component() {
    let (_registry, supervisor) = supervisor();
    supervisor.start(ComponentSpec::new("worker"), serve);
    supervisor.start(ComponentSpec::new("worker"), serve);
}
