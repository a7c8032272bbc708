//! What goes in comes out: from memory, from the database, after an end and a kill.

use nkudo_timeseries::{Config, Function, Kind, Query, Resolution};

use crate::world::{DAY, HOUR, MINUTE, START, World};

#[tokio::test]
async fn samples_come_back_from_memory_journal_and_database() {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    let load = world.series("load", &[], Kind::Gauge);
    let mut expected = Vec::new();
    for tick in 0..2_000 {
        let at_ms = START + tick * 15_000;
        let value = (tick * tick % 97) as f64 / 100.0;
        world.put(load, at_ms, value).await;
        expected.push((at_ms, value));
    }
    assert_eq!(world.raw("load").await, expected);
    let stats = world.get().stats();
    assert!(stats.seals >= 3 && stats.merges >= 1 && stats.open_samples > 0, "{stats:?}");
    assert_eq!(stats.open_samples + stats.sealed_samples, 2_000);
    world.close().await;
    world.open().await;
    assert_eq!(world.raw("load").await, expected);
    // A kill: nothing is closed.
    world.open().await;
    assert_eq!(world.raw("load").await, expected);
    world.get().seal().await.expect("it is well");
    assert_eq!(world.get().stats().open_samples, 0);
    assert_eq!(world.raw("load").await, expected);
}

#[tokio::test]
async fn aggregates_say_the_same_as_the_samples() {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    let requests = world.series("requests_total", &[], Kind::Counter);
    let mut count = 0.0;
    for tick in 0..(2 * DAY / MINUTE) {
        count = if tick == 1_000 { 3.0 } else { count + 2.0 };
        world.put(requests, START + tick * MINUTE, count).await;
        if tick % 500 == 499 {
            world.open().await;
        }
    }
    let range = (START, START + 2 * DAY);
    let hours = world.each("requests_total", range, HOUR, Function::Increase).await;
    let odd =
        world.each("requests_total", (START + HOUR, START + DAY), 61 * MINUTE, Function::Increase).await;
    assert_eq!(hours.len(), 48);
    assert_eq!(hours[0], (START, 118.0), "the first sample says nothing of what was before");
    assert_eq!(hours[1], (START + HOUR, 120.0));
    assert_eq!(hours[16], (START + 16 * HOUR, 121.0), "in this one it began anew");
    assert_eq!(odd.iter().map(|(_, increase)| increase).sum::<f64>(), 23.0 * 120.0 + 1.0, "{odd:?}");
    let days = world.each("requests_total", range, DAY, Function::Increase).await;
    assert_eq!(days.iter().map(|(_, increase)| increase).sum::<f64>(), 2.0 * 2879.0 + 1.0);
    let rate = world.each("requests_total", (START, START + DAY), DAY, Function::Rate).await;
    assert!((rate[0].1 - 1.0 / 30.0).abs() < 0.001, "{rate:?}");
    let last = world.each("requests_total", range, DAY, Function::Last).await;
    assert_eq!(last[1], (START + DAY, count));
}

#[tokio::test]
async fn each_resolution_is_kept_for_its_time() {
    let mut world = World::new(Config { sync_ms: i64::MAX, ..Config::default() }).await;
    let load = world.series("load", &[], Kind::Gauge);
    let gone = world.series("gone", &[], Kind::Gauge);
    world.put(gone, START, 1.0).await;
    let days = 40;
    for tick in 0..(days * DAY / (10 * MINUTE)) {
        world.put(load, START + tick * 10 * MINUTE, (tick % 144) as f64).await;
    }
    let now = START + days * DAY;
    let raw = world.raw("load").await;
    let oldest = now - raw[0].0;
    assert!((DAY..DAY + 8 * HOUR).contains(&oldest), "{oldest}");
    let query = Query::new("load", START, now).each(6 * MINUTE, Function::Max);
    let answer = world.ask(&query).await;
    let kept = |resolution| {
        let part = answer.parts.iter().find(|part| part.resolution == resolution).expect("it answers");
        let inside = |at_ms: i64| (part.from_ms..part.to_ms).contains(&at_ms);
        answer.series[0].points.iter().filter(|point| inside(point.at_ms)).count() as i64
    };
    assert!((24 * 6..32 * 6).contains(&kept(Resolution::Raw)), "{}", kept(Resolution::Raw));
    assert!((6 * 24 - 8..8 * 24).contains(&kept(Resolution::Hourly)), "{}", kept(Resolution::Hourly));
    assert!((23..=32).contains(&kept(Resolution::Daily)), "{}", kept(Resolution::Daily));
    let stats = world.get().stats();
    assert_eq!(stats.series, 1, "what has been silent for 30 days is forgotten");
    assert_eq!(stats.evicted, 0);
    assert_eq!(world.get().record(now, &[(gone, 2.0)]).unknown, 1);
}
