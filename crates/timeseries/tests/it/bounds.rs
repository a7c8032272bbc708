//! Bounds: what is over them is refused, dropped or removed, and counted.

use nkudo_timeseries::{Config, Function, Kind, Now, Query, QueryError, Refusal, Retention};

use crate::world::{DAY, HOUR, MINUTE, START, World};

#[tokio::test]
async fn series_over_the_limit_are_refused() {
    let mut world = World::new(Config { series_max: 2, series_bytes_max: 20, ..Config::default() }).await;
    let a = world.series("a", &[("x", "1"), ("b", "2")], Kind::Gauge);
    assert_eq!(world.series("a", &[("b", "2"), ("x", "1")], Kind::Gauge), a, "in any order");
    let mut ask = |name: &str, labels: &[(&str, &str)]| world.get().series(name, labels, Kind::Gauge, START);
    assert_eq!(ask("a_name_that_is_too_long_here", &[]), Err(Refusal::TooLong));
    assert_eq!(ask("", &[]), Err(Refusal::Malformed));
    assert_eq!(ask("b", &[("x", "1"), ("x", "2")]), Err(Refusal::Malformed));
    ask("b", &[]).expect("there is room");
    assert_eq!(ask("c", &[]), Err(Refusal::TooMany));
    let stats = world.get().stats();
    assert_eq!((stats.series, stats.series_over_limit, stats.series_malformed), (2, 1, 3));
}

#[tokio::test]
async fn memory_is_bounded_and_the_oldest_goes_first() {
    let config = Config { open_bytes: 16 << 10, sync_ms: i64::MAX, ..Config::default() };
    let mut world = World::new(config).await;
    let load = world.series("load", &[], Kind::Gauge);
    // Nobody tends it.
    for tick in 0..10_000 {
        world.get().record(START + tick, &[(load, tick as f64)]);
        assert!(world.get().stats().open_bytes <= 16 << 10);
    }
    let stats = world.get().stats();
    assert_eq!(stats.dropped + stats.open_samples, 10_000);
    assert!(stats.open_samples > 500, "{stats:?}");
    assert!(stats.disk_bytes < 256 << 10, "the journal is bounded too: {stats:?}");
    let kept = world.raw("load").await;
    assert_eq!(kept.last(), Some(&(START + 9_999, 9_999.0)));
    world.open().await;
    assert_eq!(world.raw("load").await, kept);
    // Tended, it is sealed early and nothing is lost.
    for tick in 10_000..20_000 {
        world.put(load, START + tick, tick as f64).await;
    }
    assert_eq!(world.raw("load").await.len(), kept.len() + 10_000);
}

#[tokio::test]
async fn disk_is_bounded_and_raw_samples_go_before_aggregates() {
    let retention = Retention { disk_bytes: 256 << 10, ..Retention::default() };
    let config = Config { retention, sync_ms: i64::MAX, ..Config::default() };
    let mut world = World::new(config).await;
    let noise: Vec<_> =
        (0..8).map(|nth| world.series("noise", &[("nth", &nth.to_string())], Kind::Gauge)).collect();
    let mut seed = 1_u64;
    for tick in 0..(DAY / 15_000) {
        let row: Vec<_> = noise
            .iter()
            .map(|id| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (*id, f64::from_bits(seed >> 2))
            })
            .collect();
        world.get().record(START + tick * 15_000, &row);
        world.get().tend(Now::of_one_clock(START + tick * 15_000)).await.expect("it is well");
        let stats = world.get().stats();
        assert!(stats.disk_bytes < 512 << 10, "{stats:?}");
    }
    let stats = world.get().stats();
    assert!(stats.evicted > 0 && stats.evicted_aggregates == 0, "{stats:?}");
    let size = std::fs::metadata(world.database()).expect("it is there").len();
    assert!(size <= 256 << 10, "the disk is given back: {size}");
    let query = Query::new("noise", START, START + DAY).with("nth", "3").each(HOUR, Function::Count);
    assert_eq!(world.points(&query).await.len(), 24);
}

#[tokio::test]
async fn queries_are_bounded_and_say_what_to_ask_instead() {
    let config = Config { query_points_max: 100, query_series_max: 3, ..Config::default() };
    let mut world = World::new(config).await;
    let ids: Vec<_> =
        (0..4).map(|nth| world.series("up", &[("nth", &nth.to_string())], Kind::Gauge)).collect();
    for tick in 0..60 {
        let row: Vec<_> = ids.iter().map(|id| (*id, 1.0)).collect();
        world.get().record(START + tick * MINUTE, &row);
    }
    let mut ask = async |query: Query| match world.get().query(&query).await {
        Ok(answer) => answer.series.len().to_string(),
        Err(error) => error.to_string(),
    };
    let hour = Query::new("up", START, START + HOUR);
    let cases = [
        (hour.clone(), "the query reads 4 series, at most 3 are allowed: add labels to narrow it down"),
        (
            hour.clone().without("nth", "0"),
            "the answer has over 100 points: ask for a longer step, a shorter range, or fewer series by their labels",
        ),
        (hour.clone().with("nth", "0"), "1"),
        (hour.clone().without("nth", "0").each(10 * MINUTE, Function::Max), "3"),
        (hour.clone().each(0, Function::Max), "a step of 0 ms is none: give at least 1"),
        (
            hour.clone().each(1, Function::Quantile(1.5)),
            "a quantile of 1.5 is none: give a number from 0 to 1",
        ),
        (Query::new("up", 5, 5), "the range from 5 to 5 is empty: `from` has to be before `to`"),
        (Query::new("down", 0, 5), "0"),
    ];
    for (query, expected) in cases {
        assert_eq!(ask(query.clone()).await, expected, "{query:?}");
    }
    assert!(matches!(world.get().query(&hour).await, Err(QueryError::TooManySeries { found: 4, limit: 3 })));
}

#[tokio::test]
async fn quantiles_come_from_buckets() {
    let mut world = World::new(Config::default()).await;
    let bounds = ["0.1", "0.5", "+Inf"];
    let ids: Vec<_> = bounds
        .iter()
        .map(|le| world.series("latency_seconds_bucket", &[("le", le), ("route", "/a")], Kind::Counter))
        .collect();
    for tick in 0..200_i64 {
        let row: Vec<_> = ids.iter().copied().zip([1.0, 3.0, 4.0].map(|n| n * tick as f64)).collect();
        world.get().record(START + tick * MINUTE, &row);
        world.get().tend(Now::of_one_clock(START + tick * MINUTE)).await.expect("it is well");
    }
    let query =
        Query::new("latency_seconds", START, START + 3 * HOUR).each(20 * MINUTE, Function::Quantile(0.5));
    let answer = world.ask(&query).await;
    assert_eq!(answer.series.len(), 1);
    assert_eq!(answer.series[0].labels, [("route".to_owned(), "/a".to_owned())]);
    let points = &answer.series[0].points;
    assert_eq!(points.len(), 9);
    assert!(points.iter().all(|point| (point.value - 0.3).abs() < 1e-9), "{points:?}");
}

#[tokio::test]
async fn series_that_are_silent_make_room_for_new_ones() {
    let mut world = World::new(Config { series_max: 16, ..Config::default() }).await;
    let steady = world.series("steady", &[], Kind::Gauge);
    let old: Vec<_> =
        (0..15).map(|nth| world.series("vm", &[("vm", &nth.to_string())], Kind::Gauge)).collect();
    for tick in 0..10 {
        let row: Vec<_> = old.iter().chain([&steady]).map(|id| (*id, f64::from(tick))).collect();
        world.get().record(START + i64::from(tick) * MINUTE, &row);
    }
    let mut now = START + 10 * MINUTE;
    assert_eq!(world.get().series("new", &[], Kind::Gauge, now), Err(Refusal::TooMany), "none is silent yet");
    world.put(steady, now, 10.0).await;
    assert_eq!(world.get().series("new", &[], Kind::Gauge, now), Err(Refusal::TooMany));
    now += 15 * MINUTE;
    world.put(steady, now, 11.0).await;
    let new = world.get().series("new", &[], Kind::Gauge, now).expect("two of the old ones have gone");
    world.put(new, now + 1, 7.0).await;
    assert_eq!(world.get().stats().evicted_series, 2);
    // Over a reopening too, and for all others nothing has changed.
    world.close().await;
    world.open().await;
    assert_eq!(world.raw("steady").await.len(), 12);
    assert_eq!(world.raw("new").await, [(now + 1, 7.0)]);
    let left = world.ask(&Query::new("vm", START, now)).await;
    assert_eq!((left.series.len(), left.gaps.len()), (13, 0), "{left:?}");
    assert!(left.series.iter().all(|series| series.points.len() == 10));
}

#[tokio::test]
async fn a_range_as_far_as_time_goes_is_answered_at_once() {
    let mut world = World::new(Config::default()).await;
    let load = world.series("load", &[], Kind::Gauge);
    // Three days, so that raw samples have gone and days answer.
    for quarter in 0..(3 * 96) {
        world.put(load, START + quarter * 15 * MINUTE, 1.0).await;
    }
    world.get().seal().await.expect("it is well");
    let now = START + 3 * DAY;
    world.get().tend(Now::of_one_clock(now)).await.expect("it is well");
    let far = 1_i64 << 60;
    let answer = world
        .ask(
            &Query::new("load", -(far / DAY) * DAY, (far / DAY) * DAY)
                .each(i64::MAX / DAY * DAY, Function::Count),
        )
        .await;
    assert_eq!(answer.series[0].points.iter().map(|point| point.value).sum::<f64>(), 288.0);
}
