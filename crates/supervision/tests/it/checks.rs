//! What the checks find, and what components say of themselves.

use std::time::Duration;

use nkudo_supervision::{Check, ComponentSpec, Health};

use crate::{check, serve, supervisor, until};

#[tokio::test(start_paused = true)]
async fn a_stuck_mailbox_is_degraded_then_unhealthy_and_recovers() {
    let (_registry, supervisor) = supervisor();
    let (sender, receiver) = supervisor.mailbox::<u32>("stuck", 4);
    supervisor.start(ComponentSpec::new("stuck"), serve);
    sender.send(1).await.unwrap();
    until(&supervisor, "degraded").await;
    until(&supervisor, "unhealthy").await;
    let mut receiver = receiver;
    assert_eq!(receiver.recv().await, Some(1));
    until(&supervisor, "healthy").await;
}

#[tokio::test(start_paused = true)]
async fn a_component_says_how_it_does() {
    let (registry, supervisor) = supervisor();
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

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_stays_full_degrades_and_no_more() {
    let (_registry, supervisor) = supervisor();
    let (sender, mut receiver) = supervisor.mailbox::<u32>("busy", 2);
    supervisor.start(ComponentSpec::new("busy"), serve);
    sender.send(0).await.unwrap();
    sender.send(0).await.unwrap();
    for _ in 0..60 {
        receiver.recv().await;
        sender.send(0).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(supervisor.health().overall, Health::Degraded("busy: the mailbox stays full".to_owned()));
    receiver.recv().await;
    receiver.recv().await;
    until(&supervisor, "healthy").await;
}

#[tokio::test(start_paused = true)]
async fn many_errors_degrade_until_they_are_old() {
    let (registry, supervisor) = supervisor();
    supervisor.start(ComponentSpec::new("clumsy"), |context| async move {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        (0..10).for_each(|_| context.health.error("timeout"));
        serve(context).await
    });
    until(&supervisor, "degraded").await;
    assert_eq!(supervisor.health().overall.reason(), Some("clumsy: 10 errors in the last minute"));
    check(&registry, "app_component_errors_total{component=\"clumsy\",cause=\"timeout\"} 10");
    until(&supervisor, "healthy").await;
}

/// A check that answers like this makes a component unhealthy for this reason.
async fn check_own(answer: fn() -> Result<(), String>, wait: Duration, reason: &str) {
    let (_registry, supervisor) = supervisor();
    let own = Check::new("disk", Duration::from_secs(2), move || async move {
        tokio::time::sleep(wait).await;
        answer()
    });
    supervisor.start(ComponentSpec::new("keeper").with_check(own), serve);
    until(&supervisor, "degraded").await;
    until(&supervisor, "unhealthy").await;
    assert_eq!(supervisor.health().overall.reason(), Some(reason));
    assert_eq!(supervisor.health().components[0].restarts, 0, "bad health restarts nothing");
}

#[tokio::test(start_paused = true)]
async fn an_own_check_that_fails_panics_or_hangs_makes_unhealthy() {
    let fine = || Ok(());
    check_own(|| Err("no space".to_owned()), Duration::ZERO, "keeper: disk: no space").await;
    check_own(|| panic!("oh"), Duration::ZERO, "keeper: disk: the check panicked").await;
    check_own(fine, Duration::from_secs(9), "keeper: disk: no answer within 2000 ms").await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_holds_up_no_other() {
    let (_registry, supervisor) = supervisor();
    let slow = Check::new("slow", Duration::from_secs(1_000), std::future::pending);
    supervisor.start(ComponentSpec::new("slow").with_check(slow), serve);
    let lazy = ComponentSpec::new("lazy").with_progress_within(Duration::from_secs(5));
    supervisor.start(lazy, serve);
    until(&supervisor, "unhealthy").await;
    assert_eq!(supervisor.health().overall.reason(), Some("lazy: no progress for too long"));
}
