//! The store against a plain list of all that was recorded, over random rows, seals, ends, kills and steps of the clock.

use std::collections::BTreeMap;

use nkudo_timeseries::{Config, Function, Kind, Now, SeriesId, Tended};
use proptest::prelude::*;

use crate::world::{HOUR, MINUTE, START, World};

const SERIES: usize = 4;

#[derive(Debug, Clone)]
enum Deed {
    /// After so long, samples of some series.
    Record {
        after_ms: i64,
        values: Vec<Option<u64>>,
    },
    StepBack {
        by_ms: i64,
    },
    Seal,
    Tend,
    Reopen,
    Kill,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let value = prop_oneof![
        6 => (0_u32..1000).prop_map(|n| (f64::from(n) / 10.0).to_bits()),
        1 => any::<u64>(),
        1 => Just(f64::NAN.to_bits()),
    ];
    let values = proptest::collection::vec(proptest::option::weighted(0.8, value), SERIES);
    // Some are late, if by less than the clock is taken to have been set.
    let after = prop_oneof![8 => 1_000_i64..40_000, 1 => -60_000_i64..1, 1 => 60_000_i64..4_000_000];
    let deed = prop_oneof![
        40 => (after, values).prop_map(|(after_ms, values)| Deed::Record { after_ms, values }),
        1 => (6 * MINUTE..3 * HOUR).prop_map(|by_ms| Deed::StepBack { by_ms }),
        2 => Just(Deed::Seal),
        4 => Just(Deed::Tend),
        2 => Just(Deed::Reopen),
        3 => Just(Deed::Kill),
    ];
    proptest::collection::vec(deed, 1..150)
}

/// All that was taken.
#[derive(Debug, Default)]
struct Model {
    era: usize,
    newest_ms: Option<i64>,
    last: [Option<i64>; SERIES],
    /// Era, time and value of each sample.
    samples: [Vec<(usize, i64, f64)>; SERIES],
    hulls: BTreeMap<usize, (i64, i64)>,
    taken: u64,
    late: u64,
}

impl Model {
    fn record(&mut self, at_ms: i64, row: &[(usize, f64)], config: &Config) {
        if self.newest_ms.is_some_and(|newest| at_ms < newest - config.step_back_ms) {
            self.era += 1;
            (self.newest_ms, self.last) = (None, [None; SERIES]);
        }
        for (nth, value) in row {
            if self.last[*nth].is_some_and(|last| at_ms <= last) {
                self.late += 1;
                continue;
            }
            self.last[*nth] = Some(at_ms);
            self.samples[*nth].push((self.era, at_ms, *value));
            self.newest_ms = Some(self.newest_ms.map_or(at_ms, |newest| newest.max(at_ms)));
            let hull = self.hulls.entry(self.era).or_insert((at_ms, at_ms));
            *hull = (hull.0.min(at_ms), hull.1.max(at_ms));
            self.taken += 1;
        }
    }

    fn raw(&self, nth: usize) -> Vec<(i64, u64)> {
        let hidden = |era: usize, at_ms: i64| {
            self.hulls.iter().any(|(later, hull)| *later > era && (hull.0..=hull.1).contains(&at_ms))
        };
        let kept = self.samples[nth].iter().filter(|(era, at_ms, _)| !hidden(*era, *at_ms));
        let mut kept: Vec<(i64, u64)> = kept.map(|(_, at_ms, value)| (*at_ms, value.to_bits())).collect();
        kept.sort_unstable();
        kept
    }

    /// Count, least and greatest of each hour, of all eras.
    fn hours(&self, nth: usize) -> BTreeMap<i64, (f64, f64, f64)> {
        let mut hours = BTreeMap::new();
        for (_, at_ms, value) in self.samples[nth].iter().filter(|(_, _, value)| !value.is_nan()) {
            let hour = at_ms.div_euclid(HOUR) * HOUR;
            let (count, min, max) = hours.entry(hour).or_insert((0.0, f64::INFINITY, f64::NEG_INFINITY));
            (*count, *min, *max) = (*count + 1.0, min.min(*value), max.max(*value));
        }
        hours
    }

    /// The increase of a counter in each hour, where one is known; eras one by one.
    fn increases(&self, nth: usize, lookback_ms: i64) -> BTreeMap<i64, f64> {
        let mut hours = BTreeMap::new();
        if kind(nth) == Kind::Gauge {
            return hours;
        }
        for pair in self.samples[nth].windows(2) {
            let ((era, before_ms, before), (later_era, at_ms, value)) = (pair[0], pair[1]);
            let known = !before.is_nan() && !value.is_nan() && at_ms - before_ms <= lookback_ms;
            if era == later_era && known {
                let increase = if value >= before { value - before } else { value };
                let increase = if increase.is_nan() { 0.0 } else { increase };
                *hours.entry(at_ms.div_euclid(HOUR) * HOUR).or_insert(0.0) += increase;
            }
        }
        hours
    }
}

fn kind(nth: usize) -> Kind {
    if nth == 0 { Kind::Gauge } else { Kind::Counter }
}

/// Any bits for the gauge. Counters are such that their sums do not depend on the order of adding.
fn sane(nth: usize, value: f64) -> f64 {
    match kind(nth) {
        Kind::Gauge => value,
        Kind::Counter => value.abs() % 100_000.0,
    }
}

fn name(nth: usize) -> String {
    format!("metric_{nth}_total")
}

async fn agree(world: &mut World, model: &Model) {
    let config = world.config;
    for nth in 0..SERIES {
        let raw = world.raw(&name(nth)).await;
        let bits: Vec<(i64, u64)> = raw.iter().map(|(at_ms, value)| (*at_ms, value.to_bits())).collect();
        assert_eq!(bits, model.raw(nth), "raw samples of series {nth}");
        let range = (START - 200 * HOUR, START + 400 * HOUR);
        let hours = model.hours(nth);
        for (function, expected) in [
            (Function::Count, hours.iter().map(|(at, one)| (*at, one.0)).collect::<Vec<_>>()),
            (Function::Min, hours.iter().map(|(at, one)| (*at, one.1)).collect()),
            (Function::Max, hours.iter().map(|(at, one)| (*at, one.2)).collect()),
            (Function::Increase, model.increases(nth, config.lookback_ms).into_iter().collect()),
        ] {
            let found = world.each(&name(nth), range, HOUR, function).await;
            let near = |(a, b): (&(i64, f64), &(i64, f64))| {
                let scale = a.1.abs().max(b.1.abs()).max(1.0);
                a.0 == b.0 && (a.1 == b.1 || (a.1 - b.1).abs() <= scale * 1e-9 || (a.1 - b.1).is_nan())
            };
            let same = found.len() == expected.len() && found.iter().zip(&expected).all(near);
            assert!(same, "{function:?} of series {nth}: {found:?} instead of {expected:?}");
        }
    }
}

async fn check(deeds: Vec<Deed>) {
    let config = Config { block_ms: 20 * MINUTE, merge_ms: HOUR, sync_ms: i64::MAX, ..Config::default() };
    let mut world = World::new(config).await;
    let mut model = Model::default();
    let mut now = START;
    for deed in deeds {
        match deed {
            Deed::Record { after_ms, values } => {
                now += after_ms;
                let row: Vec<(usize, f64)> = values
                    .iter()
                    .enumerate()
                    .filter_map(|(nth, value)| Some((nth, sane(nth, f64::from_bits((*value)?)))))
                    .collect();
                let ids: Vec<(SeriesId, f64)> = row
                    .iter()
                    .map(|(nth, value)| (world.series(&name(*nth), &[], kind(*nth)), *value))
                    .collect();
                let recorded = world.get().record(now, &ids);
                let (taken, late) = (model.taken, model.late);
                model.record(now, &row, &config);
                assert_eq!(
                    (recorded.taken as u64, recorded.late as u64),
                    (model.taken - taken, model.late - late)
                );
            }
            Deed::StepBack { by_ms } => now -= by_ms,
            Deed::Seal => world.get().seal().await.expect("it is well"),
            Deed::Tend => {
                assert_eq!(world.get().tend(Now::of_one_clock(now)).await.expect("it is well"), Tended::Done)
            }
            Deed::Reopen => {
                world.close().await;
                world.open().await;
            }
            Deed::Kill => world.open().await,
        }
    }
    agree(&mut world, &model).await;
    world.open().await;
    world.get().seal().await.expect("it is well");
    for _ in 0..3 {
        world.get().tend(Now::of_one_clock(now)).await.expect("it is well");
    }
    agree(&mut world, &model).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 5, ..ProptestConfig::default() })]

    #[test]
    fn the_store_has_what_a_list_has(deeds in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there is room for a runtime");
        runtime.block_on(check(deeds));
    }
}
