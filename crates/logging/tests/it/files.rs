//! Log files: when they are ended, what they are called, which are pruned.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use nkudo_logging::{FilesConfig, FilesError, LogFiles, OutputCounts, Rotation};
use nkudo_metrics_core::{Format, Registry};
use tempfile::TempDir;

/// 2026-11-21T10:59:30Z.
pub(crate) const START: i64 = 1_795_258_770;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

pub(crate) fn config(dir: &Path, rotate_every: Rotation) -> FilesConfig {
    FilesConfig {
        rotate_every,
        max_file_bytes: 4 << 10,
        max_total_bytes: 32 << 10,
        max_files: 100,
        ..FilesConfig::new(dir, "app")
    }
}

pub(crate) fn open(config: &FilesConfig) -> (LogFiles, OutputCounts) {
    let counts = OutputCounts::default();
    (LogFiles::open(config.clone(), counts.clone()).unwrap(), counts)
}

/// A line of so many bytes, with its line feed, that tells its number.
pub(crate) fn line(number: usize, bytes: usize) -> Vec<u8> {
    let mut line =
        format!("{{\"timestamp\":\"2026-11-21T10:59:30.000Z\",\"message\":\"{number}\",\"pad\":\"");
    let rest = bytes - line.len() - 3;
    line.extend(std::iter::repeat_n('x', rest));
    line.push_str("\"}\n");
    line.into_bytes()
}

/// The names of all files in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What is in the files, in the order of their names.
pub(crate) fn contents(dir: &Path) -> Vec<u8> {
    names(dir).iter().flat_map(|name| fs::read(dir.join(name)).unwrap()).collect()
}

/// The files that are there after lines were written at these seconds after the start.
fn check_rotation(rotation: Rotation, seconds: &[i64], expected: &[&str]) {
    let dir = TempDir::new().unwrap();
    let (mut files, counts) = open(&config(dir.path(), rotation));
    for (number, second) in seconds.iter().enumerate() {
        files.write(at(*second), &line(number, 100)).unwrap();
    }
    assert_eq!(names(dir.path()), expected, "{rotation:?} {seconds:?}");
    assert_eq!(counts.rotations.get(), expected.len() as u64 - 1);
    assert_eq!(counts.bytes_written.get(), 100 * seconds.len() as u64);
    let all: Vec<u8> = (0..seconds.len()).flat_map(|number| line(number, 100)).collect();
    assert_eq!(contents(dir.path()), all, "names sort as lines were written");
}

#[test]
fn files_are_ended_at_the_edges_of_periods() {
    let day = 86_400;
    check_rotation(
        Rotation::Hourly,
        &[0, 29, 30, 3_629, 3_630],
        &[
            "app.00000001.2026-11-21T10.jsonl",
            "app.00000002.2026-11-21T11.jsonl",
            "app.00000003.2026-11-21T12.jsonl",
        ],
    );
    check_rotation(
        Rotation::Minutely,
        &[0, 29, 30, 90],
        &[
            "app.00000001.2026-11-21T10-59.jsonl",
            "app.00000002.2026-11-21T11-00.jsonl",
            "app.00000003.2026-11-21T11-01.jsonl",
        ],
    );
    check_rotation(
        Rotation::Daily,
        &[0, 30, day],
        &["app.00000001.2026-11-21.jsonl", "app.00000002.2026-11-22.jsonl"],
    );
    check_rotation(Rotation::Never, &[0, 30, day, 400 * day], &["app.00000001.jsonl"]);
}

#[test]
fn a_clock_that_jitters_stays_and_one_that_is_set_begins_a_new_file() {
    // Over the edge of the hour and back by less than a minute.
    check_rotation(
        Rotation::Hourly,
        &[29, 30, 29, 0, -29, 31],
        &["app.00000001.2026-11-21T10.jsonl", "app.00000002.2026-11-21T11.jsonl"],
    );
    // A year on, and back.
    check_rotation(
        Rotation::Hourly,
        &[0, 365 * 86_400, 1],
        &[
            "app.00000001.2026-11-21T10.jsonl",
            "app.00000002.2027-11-21T10.jsonl",
            "app.00000003.2026-11-21T10.jsonl",
        ],
    );
    // A host without a clock of its own is in 1970 until it is told.
    check_rotation(
        Rotation::Daily,
        &[-START, -START - 5, 0],
        &["app.00000001.1970-01-01.jsonl", "app.00000002.2026-11-21.jsonl"],
    );
    let dir = TempDir::new().unwrap();
    let (mut files, _) = open(&config(dir.path(), Rotation::Minutely));
    for now in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
        files.write(now, b"{}\n").unwrap();
    }
    assert_eq!(
        names(dir.path()),
        [
            "app.00000001.1970-01-01T00-00.jsonl",
            "app.00000002.9999-12-30T22-00.jsonl",
            "app.00000003.1970-01-01T00-00.jsonl"
        ]
    );
}

/// The sizes of the files after one batch of lines of these sizes.
fn check_sizes(lines: &[usize], expected: &[u64], lost: u64) {
    let dir = TempDir::new().unwrap();
    let (mut files, counts) = open(&config(dir.path(), Rotation::Daily));
    let batch: Vec<u8> = lines.iter().enumerate().flat_map(|(number, bytes)| line(number, *bytes)).collect();
    files.write(at(0), &batch).unwrap();
    let sizes: Vec<u64> =
        names(dir.path()).iter().map(|name| fs::metadata(dir.path().join(name)).unwrap().len()).collect();
    assert_eq!(sizes, expected, "{lines:?}");
    assert_eq!(counts.lost.get(), lost);
    let text = contents(dir.path());
    assert!(text.split_inclusive(|byte| *byte == b'\n').all(|line| line.ends_with(b"\"}\n")));
}

#[test]
fn a_file_is_ended_before_the_line_that_would_make_it_too_large() {
    check_sizes(&[2_048, 2_048], &[4_096], 0);
    check_sizes(&[2_048, 2_049], &[2_048, 2_049], 0);
    check_sizes(&[4_096, 100, 4_096, 3_996, 100], &[4_096, 100, 4_096, 4_096], 0);
    check_sizes(&[100, 4_097, 100], &[200], 1);
    check_sizes(&[1_000; 10], &[4_000, 4_000, 2_000], 0);
}

#[test]
fn the_oldest_files_go_and_no_bound_is_ever_passed() {
    let dir = TempDir::new().unwrap();
    // Names that are nearly ours, and things that are no files.
    let strangers = [
        "app.jsonl",
        "app.1.2026-11-21.jsonl",
        "app.00000000.2026-11-31.jsonl",
        "app.00000001.2026-11-21.jsonl.gz",
        "app.000000001.jsonl",
        "app.+0000001.jsonl",
        "app2.00000001.jsonl",
        "other.00000001.2026-11-21.jsonl",
        "app-notes.txt",
    ];
    for stranger in strangers {
        fs::write(dir.path().join(stranger), vec![b'x'; 20_000]).unwrap();
    }
    fs::create_dir(dir.path().join("app.00000003.2026-11-21.jsonl")).unwrap();
    for (max_total_bytes, max_files) in [(12 << 10, 100), (1 << 20, 3), (4 << 10, 1)] {
        let config = FilesConfig { max_total_bytes, max_files, ..config(dir.path(), Rotation::Daily) };
        let (mut files, counts) = open(&config);
        for number in 0..100 {
            files.write(at(0), &line(number, 700)).unwrap();
            let ours: Vec<u64> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .filter(|entry| !strangers.contains(&entry.file_name().to_str().unwrap()))
                .filter(|entry| entry.file_type().unwrap().is_file())
                .map(|entry| entry.metadata().unwrap().len())
                .collect();
            assert!(ours.iter().sum::<u64>() <= max_total_bytes && ours.len() <= max_files, "{ours:?}");
        }
        assert!(counts.pruned.get() > 10, "{}", counts.pruned.get());
        assert_eq!(counts.lost.get(), 0);
        assert!(contents_of_newest(dir.path()).ends_with(&line(99, 700)));
    }
    for stranger in strangers {
        assert!(dir.path().join(stranger).exists(), "{stranger}");
    }
    assert!(dir.path().join("app.00000003.2026-11-21.jsonl").is_dir());
}

fn contents_of_newest(dir: &Path) -> Vec<u8> {
    let names = names(dir);
    let ours = names.iter().filter(|name| name.len() == 29 && name.starts_with("app.0000"));
    fs::read(dir.join(ours.max().unwrap())).unwrap()
}

#[test]
fn what_earlier_runs_left_is_pruned_when_files_are_opened() {
    let dir = TempDir::new().unwrap();
    for day in 10..30 {
        fs::write(dir.path().join(format!("app.000000{day}.2026-11-{day}.jsonl")), line(day, 2_000)).unwrap();
    }
    let config = FilesConfig { max_total_bytes: 8 << 10, ..config(dir.path(), Rotation::Hourly) };
    let (mut files, counts) = open(&config);
    assert_eq!(names(dir.path()).len(), 4);
    assert_eq!(counts.pruned.get(), 16);
    // Rotated otherwise than before, and with a clock that went back: numbers go on.
    files.write(at(0), &line(0, 100)).unwrap();
    assert_eq!(names(dir.path()).last().unwrap(), "app.00000030.2026-11-21T10.jsonl");
}

#[test]
fn a_new_run_goes_on_with_the_file_of_its_period() {
    let dir = TempDir::new().unwrap();
    let config = config(dir.path(), Rotation::Hourly);
    for (number, second) in [0, 1, 29, 30].into_iter().enumerate() {
        let (mut files, counts) = open(&config);
        files.write(at(second), &line(number, 1_500)).unwrap();
        assert_eq!(counts.rotations.get(), 0);
        assert_eq!(counts.cut.get(), 0);
        assert!(files.path().unwrap().starts_with(dir.path()));
    }
    let expected = [
        "app.00000001.2026-11-21T10.jsonl",
        "app.00000002.2026-11-21T10.jsonl",
        "app.00000003.2026-11-21T11.jsonl",
    ];
    assert_eq!(names(dir.path()), expected);
}

#[test]
fn a_file_that_was_cut_at_any_byte_is_ended_and_goes_on() {
    let whole: Vec<u8> = (0..3).flat_map(|number| line(number, 80)).collect();
    for length in 0..=whole.len() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("app.00000007.2026-11-21.jsonl");
        fs::write(&path, &whole[..length]).unwrap();
        let (mut files, counts) = open(&config(dir.path(), Rotation::Daily));
        let is_cut = length % 80 != 0;
        assert_eq!(counts.cut.get(), u64::from(is_cut), "{length}");
        files.write(at(0), &line(9, 80)).unwrap();
        let end: &[u8] = if is_cut { b"\n" } else { b"" };
        assert_eq!(fs::read(&path).unwrap(), [&whole[..length], end, &line(9, 80)].concat());
        assert_eq!(counts.cut.get(), u64::from(is_cut), "{length}");
    }
}

#[test]
fn a_batch_without_its_last_line_feed_is_ended_before_the_next() {
    let dir = TempDir::new().unwrap();
    let (mut files, counts) = open(&config(dir.path(), Rotation::Hourly));
    files.write(at(0), b"{}\n{\"half").unwrap();
    files.write(at(0), b"").unwrap();
    files.write(at(1), b"{}\n").unwrap();
    files.write(at(2), b"{\"half").unwrap();
    // The next file begins with a line of its own.
    files.write(at(40), b"{}\n").unwrap();
    assert_eq!(contents(dir.path()), b"{}\n{\"half\n{}\n{\"half\n{}\n");
    assert_eq!((counts.cut.get(), counts.rotations.get(), counts.lost.get()), (2, 1, 0));
}

#[test]
fn bounds_that_contradict_themselves_are_refused_with_a_remedy() {
    let dir = TempDir::new().unwrap();
    let good = config(dir.path(), Rotation::Daily);
    let check = |config: FilesConfig, words: &str| {
        let error = LogFiles::open(config, OutputCounts::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    for name in ["", "a.b", "../x", "a/b", "a b", "ü", &"x".repeat(65)] {
        check(FilesConfig { name: name.to_owned(), ..good.clone() }, "1 to 64 letters");
    }
    check(FilesConfig { max_file_bytes: 4_095, ..good.clone() }, "at least 4096");
    check(FilesConfig { max_total_bytes: 4_095, ..good.clone() }, "as much in all as for one file");
    check(FilesConfig { max_files: 0, ..good.clone() }, "at least 1");
    let in_the_way = dir.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let error =
        LogFiles::open(FilesConfig { directory: in_the_way, ..good.clone() }, OutputCounts::default());
    assert!(matches!(error, Err(FilesError::NoDirectory { .. })), "{error:?}");
    let nowhere = dir.path().join("nowhere");
    std::os::unix::fs::symlink(dir.path().join("gone"), &nowhere).unwrap();
    let error = LogFiles::open(FilesConfig { directory: nowhere, ..good }, OutputCounts::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("a link that leads nowhere; move it away, or give another directory"), "{error}");
}

#[test]
fn files_are_for_the_owner_and_the_group() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let (mut files, _) = open(&config(dir.path(), Rotation::Daily));
    files.write(at(0), b"{}\n").unwrap();
    let mode = fs::metadata(files.path().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn a_clock_that_stands_still_or_goes_back_still_has_files_looked_at() {
    let dir = TempDir::new().unwrap();
    let (mut files, counts) = open(&config(dir.path(), Rotation::Never));
    let mut now = at(0);
    for step in [1, -1] {
        files.write(now, b"{}\n").unwrap();
        fs::remove_file(files.path().unwrap()).unwrap();
        now += SignedDuration::from_secs(2 * step);
        files.write(now, b"{}\n").unwrap();
    }
    assert_eq!(counts.vanished.get(), 2);
    assert_eq!(contents(dir.path()), b"{}\n");
}

#[test]
fn what_becomes_of_files_is_counted_under_the_prefix() {
    let dir = TempDir::new().unwrap();
    let (mut files, counts) = open(&config(dir.path(), Rotation::Daily));
    let registry = Registry::new();
    counts.register(&registry, "app_");
    let lines: Vec<u8> = (0..18).flat_map(|number| line(number, 2_000)).collect();
    files.write(at(0), &lines).unwrap();
    files.write(at(0), &line(18, 5_000)).unwrap();
    let mut text = Vec::new();
    registry.encode(Format::Text004, &mut text);
    let text = String::from_utf8(text).unwrap();
    for expected in [
        "app_log_file_bytes_written_total 36000.0\n",
        "app_log_file_rotations_total 8.0\n",
        "app_log_files_pruned_total 1.0\n",
        "app_log_file_lines_lost_total 1.0\n",
        "app_log_file_write_failures_total 0.0\n",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(nkudo_logging::output_descs("app_").len(), text.matches("# TYPE").count());
}
