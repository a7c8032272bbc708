//! What is read of a component when a scrape asks for it: one line for each metric.

use nkudo_metrics_core::Desc;

use crate::life::LifeReading;
use crate::task::TaskReading;
use crate::traffic::TrafficReading;

/// A component as it is now. Without a mailbox it has no traffic, and before its first start no life.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) name: &'static str,
    pub(crate) traffic: Option<TrafficReading>,
    pub(crate) life: Option<(LifeReading, TaskReading)>,
    /// The wall clock, Unix seconds.
    pub(crate) now: f64,
}

/// How the value is found; none where the component has no such thing.
pub(super) type Read = fn(&Reading) -> Option<f64>;

macro_rules! counter {
    ($name:literal, $help:literal, $read:expr) => {
        (Desc::counter($name, $help).labels(&["component"]), $read as Read)
    };
}
macro_rules! gauge {
    ($name:literal, $help:literal, $read:expr) => {
        (Desc::gauge($name, $help).labels(&["component"]), $read as Read)
    };
}

/// Of its mailboxes.
macro_rules! traffic {
    ($it:ident => $value:expr) => {
        |reading| reading.traffic.as_ref().map(|$it| $value)
    };
}
/// Of its task.
macro_rules! task {
    ($it:ident => $value:expr) => {
        |reading| reading.life.as_ref().map(|(_, $it)| $value)
    };
}
/// Of its starts, ends and checks.
macro_rules! life {
    ($it:ident => $value:expr) => {
        |reading| reading.life.as_ref().map(|($it, _)| $value)
    };
}

pub(super) const TABLE: [(Desc, Read); 35] = [
    counter!(
        "component_messages_sent_total",
        "Messages put into the mailbox.",
        traffic!(it => it.sent as f64)
    ),
    counter!(
        "component_messages_received_total",
        "Messages that left the mailbox: taken out by the component, or gone with the mailbox.",
        traffic!(it => it.received as f64)
    ),
    counter!(
        "component_messages_after_close_total",
        "Messages that nobody took because the component's end of the mailbox was gone.",
        traffic!(it => it.after_close as f64)
    ),
    counter!(
        "component_send_waits_total",
        "Messages that had to wait for room in a full mailbox.",
        traffic!(it => it.waits as f64)
    ),
    counter!(
        "component_send_wait_seconds_total",
        "Time that senders waited for room in a full mailbox, in seconds.",
        traffic!(it => it.waited.as_secs_f64())
    ),
    gauge!(
        "component_mailbox_depth_max",
        "The most messages that ever waited in the mailbox.",
        traffic!(it => it.depth_max as f64)
    ),
    gauge!(
        "component_mailbox_bytes",
        "Memory of the messages that wait, in bytes, without what they own on the heap.",
        traffic!(it => it.waiting_bytes as f64)
    ),
    gauge!("component_mailbox_senders", "Ends that can put messages in.", traffic!(it => it.senders as f64)),
    gauge!(
        "component_messages_in_hand",
        "Messages taken out of the mailbox and not yet handled.",
        traffic!(it => it.in_hand as f64)
    ),
    gauge!(
        "component_last_message_timestamp_seconds",
        "When the last message was put in, in seconds since the Unix epoch.",
        |reading| {
            let ago = reading.traffic.as_ref()?.last_sent_ago?;
            Some(reading.now - ago.as_secs_f64())
        }
    ),
    counter!(
        "component_polls_total",
        "Times that the component's task was run.",
        task!(it => it.polls as f64)
    ),
    counter!(
        "component_busy_seconds_total",
        "Time that the component's task ran, in seconds: its CPU time at most. Tasks that it started count for themselves.",
        task!(it => it.busy.as_secs_f64())
    ),
    gauge!(
        "component_poll_longest_seconds",
        "The longest time for which the component's task ran without a break, in seconds.",
        task!(it => it.longest.as_secs_f64())
    ),
    counter!(
        "component_slow_polls_total",
        "Times that the component's task ran for longer than 10 ms without a break.",
        task!(it => it.slow as f64)
    ),
    counter!(
        "component_slow_poll_seconds_total",
        "Time of those runs, in seconds.",
        task!(it => it.slow_busy.as_secs_f64())
    ),
    counter!(
        "component_idle_seconds_total",
        "Time that the component's task waited for something to do, in seconds.",
        task!(it => it.idle.as_secs_f64())
    ),
    counter!(
        "component_wakes_total",
        "Times that the component's task was woken.",
        task!(it => it.wakes as f64)
    ),
    counter!(
        "component_scheduled_seconds_total",
        "Time that the component's task, once woken, waited for a worker, in seconds.",
        task!(it => it.scheduled.as_secs_f64())
    ),
    gauge!(
        "component_scheduled_longest_seconds",
        "The longest such wait, in seconds.",
        task!(it => it.scheduled_longest.as_secs_f64())
    ),
    gauge!(
        "component_memory_bytes",
        "Memory of the component's task and of the messages that wait for it, in bytes, without what they own on the heap.",
        |reading| {
            let (_, task) = reading.life.as_ref()?;
            let waiting = reading.traffic.as_ref().map_or(0, |traffic| traffic.waiting_bytes);
            Some((task.future_bytes + waiting) as f64)
        }
    ),
    gauge!(
        "component_running",
        "1 while the component runs, 0 between restarts and after its end.",
        life!(it => f64::from(u8::from(it.running)))
    ),
    gauge!(
        "component_start_timestamp_seconds",
        "When the component was started last, in seconds since the Unix epoch.",
        |reading| Some(reading.now - reading.life.as_ref()?.0.started_ago?.as_secs_f64())
    ),
    gauge!(
        "component_uptime_seconds",
        "Time since the component was started last, in seconds; 0 while it does not run.",
        life!(it => it.started_ago.filter(|_| it.running).map_or(0.0, |ago| ago.as_secs_f64()))
    ),
    counter!(
        "component_failures_total",
        "Ends of the component that nobody asked for.",
        life!(it => it.failures as f64)
    ),
    gauge!(
        "component_last_failure_timestamp_seconds",
        "When it last ended so, in seconds since the Unix epoch; no sample while it never did.",
        |reading| Some(reading.now - reading.life.as_ref()?.0.failed_ago?.as_secs_f64())
    ),
    counter!(
        "component_restart_delay_seconds_total",
        "Time that the component waited before it was started again, in seconds.",
        life!(it => it.delayed.as_secs_f64())
    ),
    counter!(
        "component_given_up_total",
        "Times that the component was given up.",
        life!(it => it.given_up as f64)
    ),
    counter!(
        "component_stops_total",
        "Ends of the component that were asked for.",
        life!(it => it.stops as f64)
    ),
    counter!(
        "component_progress_total",
        "Times that the component told of its progress.",
        life!(it => it.progress as f64)
    ),
    gauge!(
        "component_progress_age_seconds",
        "Time since the component last told of its progress or was started, in seconds.",
        life!(it => it.progress_ago.as_secs_f64())
    ),
    counter!(
        "component_checks_total",
        "Looks of the supervisor at the component.",
        life!(it => it.checks as f64)
    ),
    counter!(
        "component_check_findings_total",
        "Looks that found something wrong: a stuck or full mailbox, errors, no progress.",
        life!(it => it.findings as f64)
    ),
    counter!(
        "component_own_checks_total",
        "Answers of the component's own checks, the missing ones included.",
        life!(it => it.own_checks as f64)
    ),
    counter!(
        "component_own_check_failures_total",
        "Own checks that failed, panicked or gave no answer in time.",
        life!(it => it.own_failures as f64)
    ),
    gauge!(
        "component_checks_open",
        "Own checks that have not been answered yet.",
        life!(it => it.own_open as f64)
    ),
];
