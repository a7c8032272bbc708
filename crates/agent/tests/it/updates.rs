//! Metrics of every type, written to at a high rate beside an agent at work.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nkudo_agent::config::Settings;
use nkudo_agent::embedded::Embedded;
use nkudo_api::action::{Origin, parse};
use nkudo_domain::Action;
use nkudo_metrics_core::{Desc, Format, Registry, closed_label_set, label_enum, label_set};
use serde_json::json;

label_enum! { enum Half { Even = "even", Odd = "odd" } }
closed_label_set! { struct ByHalf { half: Half } }
label_set! { struct ByWord { word: &'static str } }

static BOUNDS: [f64; 3] = [0.25, 0.5, 0.75];
/// Updates of each type.
const UPDATES: u32 = 1_000_000;
/// What is asked for: updates of each type in a second.
const RATE: f64 = 10_000.0;

/// A metric: how it is written to, and what it holds.
struct Kind {
    name: &'static str,
    update: Box<dyn Fn(u32) + Send + Sync>,
    held: Box<dyn Fn() -> f64>,
}

fn kinds(registry: &Registry) -> Vec<Kind> {
    let kind = |name, update: Box<dyn Fn(u32) + Send + Sync>, held: Box<dyn Fn() -> f64>| Kind {
        name,
        update,
        held,
    };
    let counter = |name| Desc::counter(name, "Updates.");
    let share = |number: u32| f64::from(number % 100) / 100.0;
    let shared = registry.counter(&counter("u_shared_total"));
    let hot = registry.hot_counter(&counter("u_hot_total"));
    let float = registry.float_counter(&counter("u_float_total"));
    let gauge = registry.gauge(&Desc::gauge("u_gauge", "Updates."));
    let histogram = registry.histogram(&Desc::histogram("u_histogram", "Updates.", &BOUNDS));
    let hot_histogram = registry.hot_histogram(&Desc::histogram("u_hot_histogram", "Updates.", &BOUNDS));
    let summary = registry.summary(&Desc::summary("u_summary", "Updates.").quantiles(&[0.5, 0.99]));
    let closed = registry.hot_counter_family::<ByHalf>(&counter("u_closed_total").labels(&["half"])).closed();
    let words = registry.hot_counter_family::<ByWord>(&counter("u_words_total").labels(&["word"]));
    let halves = closed.clone();
    let texts = words.clone();
    vec![
        kind(
            "shared counter",
            {
                let it = shared.clone();
                Box::new(move |_| it.inc())
            },
            Box::new(move || shared.get() as f64),
        ),
        kind(
            "hot counter",
            {
                let it = hot.clone();
                Box::new(move |_| it.inc())
            },
            Box::new(move || hot.get() as f64),
        ),
        kind(
            "float counter",
            {
                let it = float.clone();
                Box::new(move |_| it.inc_by(0.5))
            },
            Box::new(move || float.get() * 2.0),
        ),
        kind(
            "gauge",
            {
                let it = gauge.clone();
                Box::new(move |_| it.inc())
            },
            Box::new(move || gauge.get()),
        ),
        kind(
            "histogram",
            {
                let it = histogram.clone();
                Box::new(move |number| it.observe(share(number)))
            },
            Box::new(move || histogram.count() as f64),
        ),
        kind(
            "hot histogram",
            {
                let it = hot_histogram.clone();
                Box::new(move |number| it.observe(share(number)))
            },
            Box::new(move || hot_histogram.count() as f64),
        ),
        kind(
            "summary",
            {
                let it = summary.clone();
                Box::new(move |number| it.observe(share(number)))
            },
            Box::new(move || summary.count() as f64),
        ),
        kind(
            "counters by an enum",
            Box::new(move |number| {
                closed.inc(&ByHalf { half: if number.is_multiple_of(2) { Half::Even } else { Half::Odd } })
            }),
            Box::new(move || {
                [Half::Even, Half::Odd].map(|half| halves.get(&ByHalf { half }).get()).iter().sum::<u64>()
                    as f64
            }),
        ),
        kind(
            "counters by text",
            Box::new(move |number| {
                words.inc(&ByWord { word: if number.is_multiple_of(2) { "even" } else { "odd" } })
            }),
            Box::new(move || {
                ["even", "odd"].map(|word| texts.get(&ByWord { word }).get()).iter().sum::<u64>() as f64
            }),
        ),
    ]
}

fn pause_or_resume(dir: &Path, number: u32) -> Action {
    let body = if number == 0 {
        json!({"action_type": "MicroVMCreate", "params": {"vm_id": "01890a5d-ac96-774b-bcce-b302099a8057", "vm_name": "u",
            "vcpus": 1, "memory_bytes": 16 << 20, "kernel": dir.join("kernel"), "provider": "simulated"}})
    } else {
        let action_type = if number % 2 == 1 { "MicroVMPause" } else { "MicroVMResume" };
        json!({"action_type": action_type, "params": {"vm_id": "01890a5d-ac96-774b-bcce-b302099a8057"}})
    };
    let action_id = format!("u{number}").parse().expect("it is an id");
    parse(&body, "", Origin { action_id, trace_id: None, parent_span_id: None, correlation_id: None })
        .expect("it is an action")
}

/// A thread for each type, while the agent performs actions and is scraped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_of_every_type_beside_an_agent_at_work_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kernel"), "").unwrap();
    let settings = Settings { state_dir: dir.path().to_owned(), simulated: true, ..Settings::default() };
    let agent = Embedded::start(&settings).await.unwrap();
    let registry = agent.registry().clone();
    let (executor, path) = (agent.executor().clone(), dir.path().to_owned());
    let runtime = tokio::runtime::Handle::current();
    let took = tokio::task::spawn_blocking(move || {
        let over = AtomicBool::new(false);
        let (kinds, over) = (kinds(&registry), &over);
        let began = Instant::now();
        let took = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut text = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    text.clear();
                    registry.encode(Format::OpenMetrics100, &mut text);
                }
            });
            scope.spawn(|| {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let action = pause_or_resume(&path, number);
                    let action_id = action.action_id.clone();
                    let ended = runtime.block_on(async {
                        executor.submit(action).await.expect("it is taken in");
                        executor.wait(&action_id).await.expect("it ends")
                    });
                    let error = ended.and_then(|view| view.error);
                    assert_eq!(error, None, "{number}");
                }
            });
            let writers: Vec<_> = kinds
                .iter()
                .map(|kind| &kind.update)
                .map(|update| scope.spawn(move || (0..UPDATES).for_each(update)))
                .collect();
            for writer in writers {
                writer.join().expect("it does not panic");
            }
            let took = began.elapsed();
            over.store(true, Ordering::Relaxed);
            took
        });
        for Kind { name, held, .. } in &kinds {
            assert_eq!(held(), f64::from(UPDATES), "{name}");
        }
        took
    })
    .await
    .unwrap();
    let rate = f64::from(UPDATES) / took.max(Duration::from_millis(1)).as_secs_f64();
    assert!(rate >= RATE, "{rate:.0} updates of each type in a second");
    agent.stop().await;
}
