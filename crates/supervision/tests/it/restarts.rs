//! Components that fail are started again, and given up in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nkudo_supervision::{ComponentError, ComponentSpec, Health, RestartBudget};
use tokio::time::Instant;

use crate::{check, serve, supervisor};

#[tokio::test(start_paused = true)]
async fn a_component_that_fails_or_panics_is_started_again() {
    let (registry, supervisor) = supervisor();
    let (starts, (up, mut is_up)) = (Arc::new(AtomicU32::new(0)), tokio::sync::mpsc::channel(1));
    supervisor.start(ComponentSpec::new("worker"), move |context| {
        let (start, up) = (starts.fetch_add(1, Ordering::Relaxed), up.clone());
        async move {
            match start {
                0 => Err(std::io::Error::other("no luck").into()),
                1 => panic!("worse luck"),
                _ => {
                    up.send(()).await?;
                    serve(context).await
                }
            }
        }
    });
    is_up.recv().await.unwrap();
    check(&registry, "app_component_starts_total{component=\"worker\"} 3");
    check(&registry, "app_component_restarts_total{component=\"worker\",cause=\"error\"} 1");
    check(&registry, "app_component_restarts_total{component=\"worker\",cause=\"panic\"} 1");
    let report = supervisor.health();
    assert_eq!((report.overall, report.components[0].restarts), (Health::Healthy, 2));
    let reasons: Vec<String> =
        supervisor.history(0).into_iter().filter_map(|c| c.health.reason().map(str::to_owned)).collect();
    assert_eq!(reasons, ["no luck", "panicked: worse luck"]);
    assert_eq!(supervisor.shutdown(Duration::from_secs(1)).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_component_that_fails_for_good_is_told() {
    let (_registry, supervisor) = supervisor();
    supervisor
        .start(ComponentSpec::new("hopeless"), |_| async { Err(std::io::Error::other("never").into()) });
    let failed = supervisor.failed().await;
    assert_eq!((failed.component, failed.cause.as_str()), ("hopeless", "never"));
    assert!(supervisor.health().overall.is_unhealthy());
}

#[tokio::test(start_paused = true)]
async fn an_unasked_end_is_a_failure_too() {
    let (registry, supervisor) = supervisor();
    supervisor.start(ComponentSpec::new("quitter"), |_| async { Ok(()) });
    assert_eq!(supervisor.failed().await.cause, "it ended without being asked to");
    check(&registry, "app_component_restarts_total{component=\"quitter\",cause=\"ended\"} 5");
}

#[tokio::test(start_paused = true)]
async fn delays_double_with_some_chance_added() {
    let (_registry, supervisor) = supervisor();
    let (starts, mut started) = tokio::sync::mpsc::channel(8);
    let budget = RestartBudget {
        max_restarts: 3,
        within: Duration::from_secs(60),
        backoff_min: Duration::from_secs(1),
        backoff_max: Duration::from_secs(2),
    };
    supervisor.start(ComponentSpec::new("worker").with_restart(budget), move |_| {
        let starts = starts.clone();
        async move {
            starts.send(Instant::now()).await?;
            Err(std::io::Error::other("no luck").into())
        }
    });
    supervisor.failed().await;
    let mut times = Vec::new();
    while let Ok(time) = started.try_recv() {
        times.push(time);
    }
    let delays: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(delays.len(), 3);
    for (delay, least_ms) in delays.iter().zip([1_000, 2_000, 2_000]) {
        let least = Duration::from_millis(least_ms);
        assert!((least..=least.mul_f64(1.5) + Duration::from_millis(2)).contains(delay), "{delays:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_is_a_component_that_panics() {
    let (registry, supervisor) = supervisor();
    let starts = AtomicU32::new(0);
    let (up, mut is_up) = tokio::sync::mpsc::channel(1);
    supervisor.start(ComponentSpec::new("worker"), move |context| {
        assert!(starts.fetch_add(1, Ordering::Relaxed) > 0, "not made");
        let up = up.clone();
        async move {
            up.send(()).await?;
            serve(context).await
        }
    });
    is_up.recv().await.unwrap();
    check(&registry, "app_component_restarts_total{component=\"worker\",cause=\"panic\"} 1");
    check(&registry, "app_component_restarts_total{component=\"worker\",cause=\"error\"} 0");
}

#[tokio::test(start_paused = true)]
async fn a_hopeless_component_is_given_up_at_once() {
    let (registry, supervisor) = supervisor();
    supervisor.start(ComponentSpec::new("hopeless"), |_| async {
        Err(ComponentError::hopeless(std::io::Error::other("never")))
    });
    let failed = supervisor.failed().await;
    assert_eq!((failed.component, failed.cause.as_str()), ("hopeless", "never"));
    check(&registry, "app_component_starts_total{component=\"hopeless\"} 1");
}
