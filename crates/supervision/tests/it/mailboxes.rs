//! Mailboxes count what goes through them, and what does not.

use std::sync::Arc;
use std::time::Duration;

use nkudo_supervision::{Closed, ComponentSpec, TrySendError};
use tokio::sync::Mutex;

use crate::{check, supervisor};

#[tokio::test(start_paused = true)]
async fn a_mailbox_counts_what_it_takes_and_what_it_refuses() {
    let (registry, supervisor) = supervisor();
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
async fn a_mailbox_outlives_its_component_and_what_was_in_hand_is_abandoned() {
    let (registry, supervisor) = supervisor();
    let (sender, receiver) = supervisor.mailbox::<u32>("worker", 8);
    let (done, mut is_done) = tokio::sync::mpsc::channel(8);
    let receiver = Arc::new(Mutex::new(receiver));
    supervisor.start(ComponentSpec::new("worker"), move |_| {
        let (receiver, done) = (Arc::clone(&receiver), done.clone());
        async move {
            let mut receiver = receiver.lock().await;
            while let Some(message) = receiver.recv().await {
                assert!(message != 2, "the second is too much");
                done.send(message).await?;
                receiver.handled();
            }
            Ok(())
        }
    });
    for message in 1..=3 {
        sender.send(message).await.unwrap();
    }
    assert_eq!((is_done.recv().await, is_done.recv().await), (Some(1), Some(3)));
    tokio::task::yield_now().await;
    check(&registry, "app_component_messages_processed_total{component=\"worker\"} 2");
    check(&registry, "app_component_messages_abandoned_total{component=\"worker\"} 1");
    check(&registry, "app_component_mailbox_depth{component=\"worker\"} 0.0");
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_a_mailbox_that_goes_is_counted() {
    let (registry, supervisor) = supervisor();
    let (sender, receiver) = supervisor.mailbox("box", 2);
    check(&registry, "app_component_mailbox_capacity{component=\"box\"} 2.0");
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    drop(receiver);
    assert_eq!(sender.try_send(3), Err(TrySendError::Closed));
    assert_eq!(sender.send(3).await, Err(Closed));
    check(&registry, "app_component_messages_abandoned_total{component=\"box\"} 2");
    check(&registry, "app_component_messages_rejected_total{component=\"box\"} 0");
    check(&registry, "app_component_mailbox_depth{component=\"box\"} 0.0");
    check(&registry, "app_component_mailbox_capacity{component=\"box\"} 0.0");
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_gives_up_waiting_puts_nothing_in() {
    let (registry, supervisor) = supervisor();
    let (sender, mut receiver) = supervisor.mailbox("box", 1);
    sender.send(1).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1), sender.send(2)).await.is_err());
    check(&registry, "app_component_mailbox_depth{component=\"box\"} 1.0");
    assert_eq!(receiver.recv().await, Some(1));
    drop(sender);
    assert_eq!(receiver.recv().await, None);
}
