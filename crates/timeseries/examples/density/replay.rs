//! Plays a recording to a store, and tells what it took.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use nkudo_timeseries::{Config, Function, Kind, Now, Query, Retention, Samples, SeriesId};
use sqlx::{Connection as _, SqliteConnection};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The rows of a recording, all with the same series.
struct Recording {
    names: Vec<String>,
    times: Vec<i64>,
    rows: Vec<Vec<f64>>,
}

pub(crate) async fn run(file: &str, every: usize) -> Result<(), Box<dyn Error>> {
    let recording = read(file)?.thinned(every);
    let (series, rows) = (recording.names.len(), recording.rows.len());
    let hours = (recording.times[rows - 1] - recording.times[0]) as f64 / HOUR as f64;
    println!("{series} series, {rows} rows over {hours:.1} h, every {every}th of the recording");
    density(&recording).await?;
    month(&recording).await
}

fn read(file: &str) -> Result<Recording, Box<dyn Error>> {
    let (mut names, mut times, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for line in fs::read_to_string(file)?.lines() {
        let mut words = line.split(' ');
        let Some(time) = words.next() else { continue };
        let (mut these, mut row) = (Vec::new(), Vec::new());
        for word in words {
            let (name, value) = word.rsplit_once('=').ok_or("a sample has a name and a value")?;
            these.push(name.to_owned());
            row.push(value.parse::<f64>()?);
        }
        if names.is_empty() {
            names = these;
        } else if names != these {
            // A device that came or went; the recording is one of a host that stays the same.
            continue;
        }
        times.push(time.parse::<i64>()?);
        rows.push(row);
    }
    if rows.is_empty() { Err("the recording is empty".into()) } else { Ok(Recording { names, times, rows }) }
}

impl Recording {
    fn kind(&self, nth: usize) -> Kind {
        if self.names[nth].contains("_total") { Kind::Counter } else { Kind::Gauge }
    }

    /// Each so-manieth row, from each beginning, one after the other.
    fn thinned(self, every: usize) -> Self {
        let mut thinned = Self { names: self.names.clone(), times: Vec::new(), rows: Vec::new() };
        for phase in 0..every {
            let part: Vec<usize> = (phase..self.rows.len()).step_by(every).collect();
            thinned.append(&self, &part);
        }
        thinned
    }

    /// Lays these rows of another recording at the end; counters go on.
    fn append(&mut self, other: &Self, part: &[usize]) {
        let (Some(first), Some(second)) = (part.first(), part.get(1)) else { return };
        let step = other.times[*second] - other.times[*first];
        let shift = self.times.last().map_or(0, |last| last + step - other.times[*first]);
        let before = self.rows.last().cloned();
        let offsets: Vec<f64> = (0..self.names.len())
            .map(|nth| match (&before, self.kind(nth)) {
                (Some(before), Kind::Counter) => before[nth] - other.rows[*first][nth],
                _ => 0.0,
            })
            .collect();
        for row in part {
            self.times.push(other.times[*row] + shift);
            let values = other.rows[*row].iter().zip(&offsets).zip(&self.names);
            // To the same decimals as before: a host counts hundredths, and no sums of floats.
            let exact =
                |((value, offset), _): ((&f64, &f64), &String)| ((value + offset) * 1e6).round() / 1e6;
            self.rows.push(values.map(exact).collect());
        }
    }

    async fn play(
        &self,
        samples: &mut Samples,
        from_ms: i64,
        offsets: &mut [f64],
    ) -> Result<i64, Box<dyn Error>> {
        let ids = self.ids(samples, from_ms)?;
        let mut now_ms = from_ms;
        for (time, values) in self.times.iter().zip(&self.rows) {
            now_ms = from_ms + time - self.times[0];
            let exact = |(value, offset): (&f64, &f64)| ((value + offset) * 1e6).round() / 1e6;
            let row: Vec<(SeriesId, f64)> =
                ids.iter().copied().zip(values.iter().zip(&*offsets).map(exact)).collect();
            samples.record(now_ms, &row);
            samples.tend(Now::of_one_clock(now_ms)).await?;
        }
        let (first, last) = (&self.rows[0], &self.rows[self.rows.len() - 1]);
        for (nth, offset) in offsets.iter_mut().enumerate() {
            if self.kind(nth) == Kind::Counter {
                *offset += last[nth] - first[nth];
            }
        }
        Ok(now_ms)
    }

    fn ids(&self, samples: &mut Samples, now_ms: i64) -> Result<Vec<SeriesId>, Box<dyn Error>> {
        let mut ids = Vec::new();
        for (nth, name) in self.names.iter().enumerate() {
            let (name, labels) = name.trim_end_matches('}').split_once('{').unwrap_or((name, ""));
            let labels: Vec<(&str, &str)> = labels
                .split("\",")
                .filter_map(|pair| pair.split_once("=\""))
                .map(|(label, value)| (label, value.trim_end_matches('"')))
                .collect();
            ids.push(samples.series(name, &labels, self.kind(nth), now_ms)?);
        }
        Ok(ids)
    }
}

/// Bytes a sample, of what was sealed and merged.
async fn density(recording: &Recording) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let config = Config {
        retention: Retention { raw_ms: 365 * DAY, ..Retention::default() },
        sync_ms: i64::MAX,
        ..Config::default()
    };
    let mut samples = Samples::open(dir.path(), config).await?;
    let mut offsets = vec![0.0; recording.names.len()];
    recording.play(&mut samples, recording.times[0], &mut offsets).await?;
    samples.seal().await?;
    let stats = samples.stats();
    samples.close().await?;
    Sizes::read(&dir.path().join("samples.db")).await?.print(stats.sealed_samples);
    Ok(())
}

/// What the tables take.
struct Sizes {
    blocks: i64,
    times: i64,
    /// Of blocks and chunks, all included.
    pages: i64,
    aggregates: i64,
    file: i64,
    /// Rows of each chunk, with its bytes a sample.
    chunks: Vec<(i64, f64)>,
}

impl Sizes {
    fn print(&self, samples: u64) {
        let each = |bytes: i64| bytes as f64 / samples as f64;
        println!(
            "  {samples} samples: {:.3} B a sample in all = values {:.3} + times {:.4} + rows and pages {:.3}",
            each(self.pages),
            each(self.blocks),
            each(self.times),
            each(self.pages - self.blocks - self.times),
        );
        let chunks: Vec<String> =
            self.chunks.iter().map(|(rows, each)| format!("{rows} at {each:.3} B")).collect();
        println!("  chunks of rows, with the values of a sample: {}", chunks.join(", "));
        println!(
            "  aggregates {:.3} B a sample; the file {:.3} B, {:.2} MiB",
            each(self.aggregates),
            each(self.file),
            self.file as f64 / f64::from(1 << 20)
        );
    }

    async fn read(database: &Path) -> Result<Self, Box<dyn Error>> {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
        let mut db = SqliteConnection::connect_with(&options).await?;
        let (blocks, times, pages, aggregates, file) = sqlx::query_as(
            "SELECT (SELECT SUM(LENGTH(data)) FROM (SELECT data FROM blocks UNION ALL SELECT data FROM recent)), (SELECT SUM(LENGTH(times)) FROM chunks),
             (SELECT SUM(pgsize) FROM dbstat WHERE name IN ('blocks', 'recent', 'chunks')),
             (SELECT SUM(pgsize) FROM dbstat WHERE name IN ('hours', 'days')),
             (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())",
        )
        .fetch_one(&mut db)
        .await?;
        let chunks = sqlx::query_as(
            "SELECT row_count, (SELECT SUM(LENGTH(data)) FROM (SELECT key, data FROM blocks UNION ALL SELECT key, data FROM recent)
                WHERE key >> 24 = chunk_id) * 1.0 / samples
             FROM chunks ORDER BY last_row",
        )
        .fetch_all(&mut db)
        .await?;
        Ok(Self { blocks, times, pages, aggregates, file, chunks })
    }
}

/// The recording again and again until 30 days are full, with the retention of every day; then queries.
async fn month(recording: &Recording) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let config = Config { sync_ms: i64::MAX, ..Config::default() };
    let before = resident_kib()?;
    let mut samples = Samples::open(dir.path(), config).await?;
    let mut offsets = vec![0.0; recording.names.len()];
    let started = Instant::now();
    let first = recording.times[0];
    let mut now_ms = first;
    while now_ms < first + 30 * DAY {
        now_ms = recording.play(&mut samples, now_ms + 1_000, &mut offsets).await?;
    }
    let stats = samples.stats();
    println!(
        "  30 days of repeats: {} samples in {:.1} s, {:.2} MiB on disk; memory {} KiB more, open block {} KiB",
        stats.recorded,
        started.elapsed().as_secs_f64(),
        stats.disk_bytes as f64 / f64::from(1 << 20),
        resident_kib()? - before,
        stats.open_bytes / 1024,
    );
    let queries = [
        ("30 days, 1 h, rate, 8 series", 30 * DAY, HOUR, Function::Rate),
        ("30 days, 1 d, rate, 8 series", 30 * DAY, DAY, Function::Rate),
        ("30 days, 10 min, rate, 8 series", 30 * DAY, 10 * MINUTE, Function::Rate),
        ("1 day, 1 min, rate, 8 series", DAY, MINUTE, Function::Rate),
        ("1 day, raw, 8 series", DAY, 1, Function::Raw),
    ];
    let config = Config { query_points_max: 10_000_000, ..config };
    let sealed = samples.stats().sealed_samples;
    samples.close().await?;
    Sizes::read(&dir.path().join("samples.db")).await?.print(sealed);
    let mut samples = Samples::open(dir.path(), config).await?;
    for (what, range, step, function) in queries {
        let to = now_ms.div_euclid(HOUR) * HOUR;
        let query =
            Query::new("host_cpu_seconds_total", to - range, to).with("cpu", "cpu").each(step, function);
        let mut took = Vec::new();
        let mut points = 0;
        for _ in 0..5 {
            let started = Instant::now();
            let answer = samples.query(&query).await?;
            took.push(started.elapsed().as_secs_f64() * 1e3);
            points = answer.series.iter().map(|series| series.points.len()).sum();
        }
        let worst = took.iter().copied().fold(0.0, f64::max);
        println!("  {what}: {points} points, first {:.1} ms, worst of five {worst:.1} ms", took[0]);
    }
    println!("  memory after queries {} KiB more", resident_kib()? - before);
    samples.close().await?;
    Ok(())
}

fn resident_kib() -> Result<i64, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: i64 = statm.split(' ').nth(1).ok_or("the second is resident pages")?.parse()?;
    Ok(pages * 4)
}
