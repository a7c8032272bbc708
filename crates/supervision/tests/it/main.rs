//! Components that fail, panic, hang and end, in paused time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nkudo_metrics_core::{Format, Registry};
use nkudo_supervision::{ComponentError, ComponentSpec, Context, Health, Supervisor, TrySendError};

fn text(registry: &Registry) -> String {
    let mut out = Vec::new();
    registry.encode(Format::Text004, &mut out);
    String::from_utf8(out).unwrap()
}

fn check(registry: &Registry, line: &str) {
    let text = text(registry);
    assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
}

async fn serve(context: Context) -> Result<(), ComponentError> {
    context.shutdown.cancelled().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_component_that_fails_or_panics_is_started_again() {
    let registry = Registry::new();
    let supervisor = Supervisor::new(&registry, "app_", || 7);
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
    let supervisor = Supervisor::new(&Registry::new(), "app_", || 7);
    supervisor
        .start(ComponentSpec::new("hopeless"), |_| async { Err(std::io::Error::other("never").into()) });
    let failed = supervisor.failed().await;
    assert_eq!((failed.component, failed.cause.as_str()), ("hopeless", "never"));
    assert!(supervisor.health().overall.is_unhealthy());
}

#[tokio::test(start_paused = true)]
async fn an_unasked_end_is_a_failure_too() {
    let registry = Registry::new();
    let supervisor = Supervisor::new(&registry, "app_", || 7);
    supervisor.start(ComponentSpec::new("quitter"), |_| async { Ok(()) });
    assert_eq!(supervisor.failed().await.cause, "it ended without being asked to");
    check(&registry, "app_component_restarts_total{component=\"quitter\",cause=\"ended\"} 5");
}

#[tokio::test(start_paused = true)]
async fn components_end_in_reverse_order_and_the_hung_are_named() {
    let supervisor = Supervisor::new(&Registry::new(), "app_", || 7);
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
async fn a_mailbox_counts_what_it_takes_and_what_it_refuses() {
    let registry = Registry::new();
    let supervisor = Supervisor::new(&registry, "app_", || 7);
    let (sender, mut receiver) = supervisor.mailbox("box", 2);
    sender.try_send(1).unwrap();
    sender.send(2).await.unwrap();
    assert_eq!(sender.try_send(3), Err(TrySendError::Full));
    check(&registry, "app_component_mailbox_depth{component=\"box\"} 2.0");
    check(&registry, "app_component_messages_rejected_total{component=\"box\"} 1");
    tokio::time::advance(Duration::from_millis(20)).await;
    assert_eq!(receiver.recv().await, Some(1));
    check(&registry, "app_component_messages_processed_total{component=\"box\"} 0");
    tokio::time::advance(Duration::from_millis(3)).await;
    assert_eq!(receiver.recv().await, Some(2));
    check(&registry, "app_component_messages_processed_total{component=\"box\"} 1");
    check(&registry, "app_component_processing_latency_seconds_bucket{component=\"box\",le=\"0.005\"} 1");
    check(&registry, "app_component_processing_latency_seconds_bucket{component=\"box\",le=\"0.0025\"} 0");
    check(&registry, "app_component_queue_wait_seconds_bucket{component=\"box\",le=\"0.01\"} 0");
    drop(sender);
    assert_eq!(receiver.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_mailbox_is_degraded_then_unhealthy_and_recovers() {
    let supervisor = Supervisor::new(&Registry::new(), "app_", || 7);
    let (sender, receiver) = supervisor.mailbox::<u32>("stuck", 4);
    supervisor.start(ComponentSpec::new("stuck"), serve);
    sender.send(1).await.unwrap();
    let wait_for = async |health: &str| {
        for _ in 0..60 {
            if supervisor.health().overall.as_str() == health {
                return;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
        panic!("never {health}: {:?}", supervisor.health());
    };
    wait_for("degraded").await;
    wait_for("unhealthy").await;
    let mut receiver = receiver;
    assert_eq!(receiver.recv().await, Some(1));
    wait_for("healthy").await;
}

#[tokio::test(start_paused = true)]
async fn a_component_says_how_it_does() {
    let registry = Registry::new();
    let supervisor = Supervisor::new(&registry, "app_", || 7);
    let spec = ComponentSpec::new("lazy").with_progress_within(Duration::from_secs(5));
    supervisor.start(spec, |context| async move {
        context.health.set(Health::Degraded("the link is down".to_owned()));
        serve(context).await
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(supervisor.health().overall, Health::Degraded("lazy: the link is down".to_owned()));
    check(&registry, "app_component_health_status{component=\"lazy\",health=\"degraded\"} 1.0");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(supervisor.health().overall, Health::Unhealthy("lazy: no progress for too long".to_owned()));
}
