//! What the tests share: a store in a directory that goes away, and short ways to write and ask.

use std::path::{Path, PathBuf};

use nkudo_timeseries::{Answer, Config, Function, Kind, Now, Query, Samples, SeriesId};

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
/// A midnight.
pub(crate) const START: i64 = 20_000 * DAY;

/// A store that is opened and opened again in one directory.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) samples: Option<Samples>,
}

impl World {
    pub(crate) async fn new(config: Config) -> Self {
        let dir = tempfile::tempdir().expect("there is a place for it");
        let mut world = Self { dir, config, samples: None };
        world.open().await;
        world
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir().join("samples.db")
    }

    pub(crate) async fn open(&mut self) {
        self.samples = None;
        self.samples = Some(Samples::open(self.dir.path(), self.config).await.expect("it opens"));
    }

    pub(crate) async fn close(&mut self) {
        self.samples.take().expect("it is open").close().await.expect("it closes");
    }

    pub(crate) fn get(&mut self) -> &mut Samples {
        self.samples.as_mut().expect("it is open")
    }

    pub(crate) fn series(&mut self, name: &str, labels: &[(&str, &str)], kind: Kind) -> SeriesId {
        self.get().series(name, labels, kind, START).expect("there is room")
    }

    /// A row of one sample, and what is due after it.
    pub(crate) async fn put(&mut self, id: SeriesId, at_ms: i64, value: f64) {
        self.get().record(at_ms, &[(id, value)]);
        self.get().tend(Now::of_one_clock(at_ms)).await.expect("it is well");
    }

    pub(crate) async fn ask(&mut self, query: &Query) -> Answer {
        self.get().query(query).await.expect("it is answered")
    }

    /// The points of the one series of a metric.
    pub(crate) async fn points(&mut self, query: &Query) -> Vec<(i64, f64)> {
        let answer = self.ask(query).await;
        assert!(answer.series.len() <= 1, "{answer:?}");
        let points = answer.series.iter().flat_map(|series| &series.points);
        points.map(|point| (point.at_ms, point.value)).collect()
    }

    pub(crate) async fn raw(&mut self, name: &str) -> Vec<(i64, f64)> {
        self.points(&Query::new(name, i64::MIN / 2, i64::MAX / 2)).await
    }

    pub(crate) async fn each(
        &mut self,
        name: &str,
        range: (i64, i64),
        step_ms: i64,
        function: Function,
    ) -> Vec<(i64, f64)> {
        self.points(&Query::new(name, range.0, range.1).each(step_ms, function)).await
    }
}
