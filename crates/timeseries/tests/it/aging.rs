//! What is removed by its age while the clock jumps about, and after a host was off for long.

use nkudo_timeseries::{Config, Function, Kind, Now, Query, Retention, SeriesId};

use crate::world::{DAY, HOUR, MINUTE, START, World};

const YEAR: i64 = 365 * DAY;

/// A host with a clock that can be set, and a sample each ten minutes.
struct Clock {
    world: World,
    load: SeriesId,
    now: Now,
}

impl Clock {
    /// With three days of samples: a day of raw ones is kept, the hours and days before it as well.
    async fn new() -> Self {
        Self::with(Retention::default()).await
    }

    async fn with(retention: Retention) -> Self {
        let mut world = World::new(Config { retention, sync_ms: i64::MAX, ..Config::default() }).await;
        let load = world.series("load", &[], Kind::Gauge);
        let mut clock = Self { world, load, now: Now { wall_ms: START, steady_ms: 1_000 } };
        clock.pass(3 * DAY).await;
        clock
    }

    async fn pass(&mut self, ms: i64) {
        for _ in 0..ms / (10 * MINUTE) {
            self.now.wall_ms += 10 * MINUTE;
            self.now.steady_ms += 10 * MINUTE.cast_unsigned();
            let samples = self.world.get();
            samples.record(self.now.wall_ms, &[(self.load, 1.0)]);
            samples.tend(self.now).await.expect("it is well");
        }
    }

    fn set_ahead(&mut self, ms: i64) {
        self.now.wall_ms += ms;
    }

    /// The program ends; another begins in another boot of the host, which was off for so long.
    async fn restart_after(&mut self, ms: i64) {
        self.world.open().await;
        self.load = self.world.series("load", &[], Kind::Gauge);
        self.now = Now { wall_ms: self.now.wall_ms + ms, steady_ms: 5_000 };
    }

    /// Samples of the first three days: raw ones, and those that their hours count.
    async fn kept(&mut self) -> (usize, usize) {
        let raw = self.world.points(&Query::new("load", START, START + 3 * DAY)).await.len();
        let hours = Query::new("load", START, START + 3 * DAY).each(HOUR, Function::Count);
        (raw, self.world.points(&hours).await.len())
    }

    fn doubts(&mut self) -> u64 {
        self.world.get().stats().clock_doubts
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_and_back_costs_nothing() {
    let mut clock = Clock::new().await;
    let (raw, hours) = clock.kept().await;
    assert!((144..200).contains(&raw) && hours == 72, "{raw} {hours}");
    for _ in 0..3 {
        clock.set_ahead(YEAR);
        clock.pass(50 * MINUTE).await;
        clock.set_ahead(-YEAR);
        clock.pass(10 * MINUTE).await;
    }
    let after = clock.kept().await;
    assert!(after.0 >= raw - 24 && after.1 == hours, "{raw} raw samples before, {after:?} after");
    assert_eq!(clock.doubts(), 3);
}

#[tokio::test]
async fn a_clock_that_jumped_and_stayed_is_believed_in_the_end() {
    let mut clock = Clock::new().await;
    let (raw, hours) = clock.kept().await;
    clock.set_ahead(YEAR);
    clock.pass(HOUR).await;
    assert_eq!(clock.kept().await, (raw, hours));
    clock.pass(DAY).await;
    assert_eq!(clock.kept().await, (0, 0));
    assert_eq!(clock.doubts(), 1);
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_jump_does_not_make_it_believed() {
    let mut clock = Clock::new().await;
    let before = clock.kept().await;
    clock.set_ahead(YEAR);
    clock.pass(40 * MINUTE).await;
    for _ in 0..2 {
        clock.restart_after(MINUTE).await;
        clock.pass(10 * MINUTE).await;
        assert_eq!(clock.kept().await, before);
    }
}

#[tokio::test]
async fn after_months_off_what_is_old_goes_once_the_clock_has_stayed() {
    let mut clock = Clock::new().await;
    let before = clock.kept().await;
    clock.restart_after(90 * DAY).await;
    clock.pass(HOUR).await;
    assert_eq!(clock.kept().await, before);
    clock.pass(DAY).await;
    assert_eq!(clock.kept().await, (0, 0));
    assert_eq!(clock.doubts(), 1);
}

#[tokio::test]
async fn a_restart_with_samples_up_to_now_is_believed_at_once() {
    let mut clock = Clock::new().await;
    let (raw, hours) = clock.kept().await;
    clock.pass(20 * HOUR).await;
    let (later, _) = clock.kept().await;
    assert!(later < raw, "{later}");
    // Each hour something goes, though the program never runs for long.
    for _ in 0..10 {
        clock.restart_after(MINUTE).await;
        clock.pass(30 * MINUTE).await;
    }
    let last = clock.kept().await;
    assert!(last.0 < later && last.1 == hours, "{later} before, {last:?} after");
    assert_eq!(clock.doubts(), 0);
}

#[tokio::test]
async fn a_host_that_was_suspended_has_no_jump() {
    let mut clock = Clock::new().await;
    clock.set_ahead(90 * DAY);
    clock.now.steady_ms += (90 * DAY).cast_unsigned();
    clock.pass(10 * MINUTE).await;
    let (raw, hours) = clock.kept().await;
    // But for what was in memory when it began.
    assert!(raw <= 13 && hours <= 3, "{raw} {hours}");
    assert_eq!(clock.doubts(), 0);
}

#[tokio::test]
async fn the_bound_on_disk_holds_while_the_clock_is_doubted() {
    let mut clock = Clock::with(Retention { disk_bytes: 48 << 10, ..Retention::default() }).await;
    clock.set_ahead(YEAR);
    let ids: Vec<SeriesId> =
        (0..40).map(|nth| clock.world.series("noise", &[("nth", &nth.to_string())], Kind::Gauge)).collect();
    for nth in 0..50_u64 {
        clock.pass(10 * MINUTE).await;
        // Never calm.
        clock.set_ahead(YEAR);
        let row: Vec<_> =
            ids.iter().map(|id| (*id, f64::from_bits(nth.wrapping_mul(0x5851_F42D_4C95_7F2D)))).collect();
        clock.world.get().record(clock.now.wall_ms, &row);
        clock.world.get().seal().await.expect("it is well");
    }
    clock.pass(10 * MINUTE).await;
    let stats = clock.world.get().stats();
    assert!(stats.evicted > 0 && stats.disk_bytes <= 64 << 10, "{stats:?}");
}
