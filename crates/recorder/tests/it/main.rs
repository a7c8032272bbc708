//! Spans become traces, whoever made them, and are found.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use nkudo_logging::{OutputCounts, Redactor};
use nkudo_metrics_core::{Format, Registry};
use nkudo_recorder::{NoAnswer, Recorder};
use nkudo_spans::{AttributeValue, FinishedSpan, SpanId, SpansOptions, TraceId, current, spans};
use nkudo_traces::{Config, Query};
use tracing::Dispatch;

fn recorder(dir: &Path) -> (Dispatch, Recorder) {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let redactor = Redactor::new(&["nkt1."], OutputCounts::default()).unwrap();
    let recorder = Recorder::start(dir, Config::default(), drain.unwrap(), redactor).unwrap();
    (Dispatch::new(subscriber), recorder)
}

fn work(dispatch: &Dispatch) -> TraceId {
    tracing::dispatcher::with_default(dispatch, || {
        let root = tracing::info_span!("root", order = 7);
        root.in_scope(|| tracing::info_span!("step").in_scope(|| ()));
        root.in_scope(current).unwrap().trace_id
    })
}

/// Until the recorder's thread is gone.
fn wait_for_end(dir: &Path) -> Recorder {
    let began = Instant::now();
    loop {
        let (_, recorder) = recorder(dir);
        let found = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(recorder.search(Query::default()))
            .unwrap();
        if !found.summaries.is_empty() {
            return recorder;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was kept");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_question_sees_all_that_had_ended_before_it_however_idle_the_recorder_was() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, recorder) = recorder(dir.path());
    for number in 0..200_u32 {
        let id = work(&dispatch);
        let trace = recorder.trace(id).await.unwrap().unwrap();
        assert_eq!((trace.spans().len(), trace.root().name.as_ref()), (2, "root"), "{number}");
        if number % 50 == 0 {
            // Long enough for the thread to fall asleep for good.
            tokio::task::spawn_blocking(|| std::thread::park_timeout(Duration::from_millis(300)))
                .await
                .unwrap();
        }
    }
    assert!(recorder.is_alive() && recorder.failure().is_none());
}

#[test]
fn what_was_recorded_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, first) = recorder(dir.path());
    work(&dispatch);
    let clone = first.clone();
    drop(first);
    assert!(clone.is_alive(), "a clone keeps it");
    drop(clone);
    wait_for_end(dir.path());
}

#[test]
fn a_recorder_that_is_dropped_while_its_queue_is_full_ends_with_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, recorder) = recorder(dir.path());
    work(&dispatch);
    let (busy, is_busy) = std::sync::mpsc::sync_channel(1);
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let hold = move |trace| {
        busy.send(()).unwrap();
        // Until the recorder is dropped.
        released.recv().unwrap_err();
        Some(trace)
    };
    let asked = recorder.clone();
    let query = async move { asked.search_parts(Query::default(), hold).await };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let answer = runtime.spawn(query);
    is_busy.recv().unwrap();
    answer.abort();
    while recorder.offer(Vec::new()) {}
    drop(runtime);
    drop(recorder);
    drop(release);
    wait_for_end(dir.path());
}

#[tokio::test]
async fn spans_of_another_program_join_the_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, recorder) = recorder(dir.path());
    let trace_id = work(&dispatch);
    let parent = recorder.trace(trace_id).await.unwrap().unwrap().root().span_id;
    let far = FinishedSpan {
        trace_id,
        span_id: SpanId::generate(),
        parent_id: Some(parent),
        name: "far away".into(),
        target: "other".into(),
        start_unix_ns: 1_700_000_000_000_000_000,
        duration_ns: 5,
        failed: true,
        thread: 1,
        attributes: Vec::new(),
        dropped_attributes: 0,
    };
    // Told twice, as after a connection that broke.
    assert!(recorder.offer(vec![far.clone()]) && recorder.offer(vec![far]));
    let trace = recorder.trace(trace_id).await.unwrap().unwrap();
    assert_eq!(trace.spans().len(), 3);
    assert!(trace.failed());
}

#[tokio::test]
async fn secrets_in_spans_are_not_kept_whoever_made_them() {
    const TOKEN: &str = "nkt1.0123456789abcdef.5ec2e75ec2e7";
    const KEY: &str =
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqG5ec2e7\nSM49AgEG5ec2e7==\n-----END PRIVATE KEY-----";
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, recorder) = recorder(dir.path());
    let trace_id = tracing::dispatcher::with_default(&dispatch, || {
        let said = format!("cannot reach https://cp/?token={TOKEN}&y=1");
        let root = tracing::info_span!("root", error = said, key = KEY, order = 7);
        root.in_scope(current).unwrap().trace_id
    });
    let far = FinishedSpan {
        trace_id,
        span_id: SpanId::generate(),
        parent_id: None,
        name: format!("enroll {TOKEN}").into(),
        target: "other".into(),
        start_unix_ns: 1_700_000_000_000_000_000,
        duration_ns: 5,
        failed: true,
        thread: 1,
        attributes: vec![("line".into(), AttributeValue::Text(format!("edge-agent --token {TOKEN}")))],
        dropped_attributes: 0,
    };
    assert!(recorder.offer(vec![far]));
    let trace = recorder.trace(trace_id).await.unwrap().unwrap();
    let told = format!("{:?}", trace.spans());
    assert!(
        told.contains("https://cp/?token=[redacted]&y=1") && told.contains("enroll [redacted]"),
        "{told}"
    );
    recorder.flush().await.unwrap();
    let kept = std::fs::read_dir(dir.path()).unwrap();
    let kept: Vec<u8> = kept.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let kept = String::from_utf8_lossy(&kept);
    assert!(kept.contains("[redacted]") && !kept.contains("5ec2e7") && !told.contains("5ec2e7"), "{told}");
}

#[tokio::test]
async fn files_that_somebody_deletes_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, recorder) = recorder(dir.path());
    work(&dispatch);
    recorder.flush().await.unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let id = work(&dispatch);
    recorder.flush().await.unwrap();
    // The count is shown before the next question is answered.
    assert!(recorder.trace(id).await.unwrap().is_some());
    assert_eq!((recorder.files_vanished(), recorder.dir()), (1, dir.path()));
}

#[tokio::test]
async fn nonsense_is_refused_and_a_disk_that_fails_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let (dispatch, recorder) = recorder(&file.join("traces"));
    let refused = recorder.search(Query { limit: 0, ..Query::default() }).await;
    assert!(matches!(refused, Err(NoAnswer::Query(_))), "{refused:?}");
    let id = work(&dispatch);
    recorder.flush().await.unwrap();
    let failure = recorder.failure().unwrap();
    assert!(failure.contains("traces"), "{failure}");
    assert!(recorder.trace(id).await.unwrap().is_some(), "it is in memory still");
}

#[tokio::test]
async fn what_became_of_spans_is_exposed() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, recorder) = recorder(dir.path());
    let registry = Registry::new();
    recorder.register(&registry, "app_");
    recorder.register(&registry, "app_");
    let id = work(&dispatch);
    assert!(recorder.trace(id).await.unwrap().is_some());
    let mut text = Vec::new();
    registry.encode(Format::Text004, &mut text);
    let text = String::from_utf8(text).unwrap();
    for line in [
        "app_spans_finished_total 2",
        "app_spans_dropped_total 0",
        "app_spans_refused_total 0",
        "app_trace_spans_received_total 2",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn spans_of_others_are_taken_or_counted_as_refused() {
    const OFFERS: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let (_dispatch, recorder) = recorder(dir.path());
    let registry = Registry::new();
    recorder.register(&registry, "app_");
    let span = || FinishedSpan {
        trace_id: TraceId::generate(),
        span_id: SpanId::generate(),
        parent_id: None,
        name: "far away".into(),
        target: "other".into(),
        start_unix_ns: 1_700_000_000_000_000_000,
        duration_ns: 5,
        failed: false,
        thread: 1,
        attributes: Vec::new(),
        dropped_attributes: 0,
    };
    let taken = (0..OFFERS).filter(|_| recorder.offer(vec![span()])).count() as u64;
    // Whoever asks waits for what was taken before; while all of it waits there is no room for a question either.
    while recorder.flush().await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut text = Vec::new();
    registry.encode(Format::Text004, &mut text);
    let text = String::from_utf8(text).unwrap();
    let count = |name: &str| -> u64 {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        // A count is written as a number that may have a point.
        value.split('.').next().unwrap().parse().unwrap()
    };
    assert!(taken < OFFERS, "they come faster than they are taken");
    assert_eq!(count("app_trace_spans_received_total "), taken);
    assert_eq!(count("app_spans_refused_total "), OFFERS - taken);
}
