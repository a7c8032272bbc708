//! Files that a program adds once it logs.

use std::time::{Duration, Instant};

use nkudo_logging::{FilesConfig, Lines, LogConfig, LogError, Query, flush, init, search, subscriber};
use tempfile::TempDir;

/// The only test of this program that sets up logging for all of it.
#[test]
fn files_that_are_added_later_take_what_is_logged_from_then_on() {
    let dir = TempDir::new().unwrap();
    let log = init(&LogConfig { secrets: &["wst_"], ..LogConfig::default() }).unwrap();
    tracing::info!("before");
    assert!(flush(Duration::from_secs(10)));
    std::fs::write(dir.path().join("file"), "").unwrap();
    let nowhere = log.write_files(FilesConfig::new(dir.path().join("file"), "app"));
    assert!(matches!(nowhere, Err(LogError::Files(_))), "{nowhere:?}");
    log.write_files(FilesConfig::new(dir.path().join("first"), "app")).unwrap();
    tracing::info!(token = "wst_0123456789abcdef", "in the first");
    assert!(flush(Duration::from_secs(10)));
    log.write_files(FilesConfig::new(dir.path().join("second"), "app")).unwrap();
    tracing::info!("in the second");
    assert!(flush(Duration::from_secs(10)));
    let check = |directory: &str, said: &str| {
        let found = search(&dir.path().join(directory), "app", &Query::default()).unwrap();
        let lines: Vec<String> = found.hits.into_iter().map(|hit| hit.line).collect();
        assert!(lines.len() == 1 && lines[0].contains(said) && !lines[0].contains("wst_"), "{lines:?}");
    };
    check("first", "in the first");
    check("second", "in the second");
    assert_eq!(log.written(), 3);

    // Files that somebody deletes are told in those that come after them.
    std::fs::remove_dir_all(dir.path().join("second")).unwrap();
    let told = Query { text: Some("log files were deleted by somebody else".to_owned()), ..Query::default() };
    let began = Instant::now();
    let line = loop {
        tracing::info!("goes on");
        assert!(flush(Duration::from_secs(10)));
        let found = search(&dir.path().join("second"), "app", &told);
        if let Some(hit) = found.ok().and_then(|found| found.hits.into_iter().next()) {
            break hit.line;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it was not told");
        std::thread::yield_now();
    };
    let dir = dir.path().join("second");
    let fields = format!("\"fields\":{{\"dir\":\"{}\",\"files\":\"1\"}}", dir.display());
    assert!(line.contains("\"level\":\"warn\"") && line.contains(&fields), "{line}");
}

#[test]
fn a_log_without_a_thread_refuses_files() {
    let dir = TempDir::new().unwrap();
    let (_subscriber, log) = subscriber(&LogConfig::default(), Lines::default());
    let refused = log.write_files(FilesConfig::new(dir.path(), "app"));
    assert!(matches!(refused, Err(LogError::NoThread)), "{refused:?}");
}
