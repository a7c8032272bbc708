//! Ten million lines of threads that come and go, through the whole of logging: what is made is in files or counted.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nkudo_logging::{FilesConfig, LogConfig, LogFormat, flush, init};
use serde::Deserialize;
use tempfile::TempDir;

/// Makes a directory one that the child may log in.
const MARK: &str = "for-the-flooding-child";
const MADE: u64 = 10_000_000;
const AT_ONCE: u64 = 8;
/// Lines of one thread: it ends, and another one starts.
const OF_A_THREAD: u64 = 20_000;

/// What the child does. Its standard error goes nowhere, as the lines do not fit anywhere else.
#[test]
#[ignore = "a process that the next test starts"]
fn the_flooding_child() {
    if !Path::new(MARK).exists() {
        return;
    }
    let files = FilesConfig {
        max_file_bytes: 256 << 20,
        max_total_bytes: 8 << 30,
        ..FilesConfig::new("logs", "flood")
    };
    let log =
        init(&LogConfig { format: LogFormat::Json, files: Some(files), ..LogConfig::default() }).unwrap();
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let of = next.fetch_add(1, Ordering::Relaxed);
                    if of >= MADE / OF_A_THREAD {
                        return;
                    }
                    let work = move || (0..OF_A_THREAD).for_each(|n| tracing::info!(of, n, "made"));
                    scope.spawn(work).join().unwrap();
                }
            });
        }
    });
    assert!(flush(Duration::from_secs(60)));
    println!("written {} dropped {}", log.written(), log.dropped());
}

#[derive(Deserialize)]
struct Line<'l> {
    component: &'l str,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    /// None in what the log says of itself.
    of: Option<usize>,
    n: Option<u64>,
    /// How many lines the log says were dropped.
    lines: Option<String>,
}

#[test]
fn ten_million_lines_of_threads_that_start_and_die_are_in_files_in_order_or_counted() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(MARK), "").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "flood::the_flooding_child", "--nocapture"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.split_once("written ").unwrap().1.lines().next().unwrap();
    let (written, dropped) = said.split_once(" dropped ").unwrap();
    let (written, dropped): (u64, u64) = (written.parse().unwrap(), dropped.parse().unwrap());

    let mut paths: Vec<_> =
        fs::read_dir(dir.path().join("logs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let threads = usize::try_from(MADE / OF_A_THREAD).unwrap();
    let (mut delivered, mut own, mut told, mut last) = (0, 0, 0, vec![None; threads]);
    for path in &paths {
        let mut lines = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).unwrap() > 0 {
            assert_eq!(line.last(), Some(&b'\n'));
            let read: Line<'_> = serde_json::from_slice(&line).unwrap();
            match read.fields {
                Fields { of: Some(of), n: Some(n), .. } => {
                    delivered += 1;
                    assert!(last[of] < Some(n), "{n} of thread {of} after {:?}", last[of]);
                    last[of] = Some(n);
                }
                Fields { lines, .. } => {
                    own += 1;
                    told += lines.map_or(0, |lines| lines.parse::<u64>().unwrap());
                    assert_eq!(read.component, "log");
                }
            }
            line.clear();
        }
    }
    assert_eq!((delivered + own, delivered + dropped), (written, MADE), "{own} lines of the log's own");
    assert_eq!(told, dropped, "what was dropped is told in the log");
    assert!(delivered > 0);
    eprintln!(
        "{delivered} of {MADE} lines delivered, {dropped} counted as dropped, in {} files",
        paths.len()
    );
}
