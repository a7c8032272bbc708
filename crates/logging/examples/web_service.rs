//! A service that logs to files and searches them: `cargo run -p nkudo-logging --example web_service`.

#![expect(clippy::print_stdout, reason = "a program that people run")]

use std::time::Duration;

use nkudo_logging::{FilesConfig, LogConfig, LogFormat, LogLevel, Query, RepeatLimit, flush, init, search};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let log = init(&LogConfig {
        format: LogFormat::Text,
        context_fields: &["request_id"],
        files: Some(FilesConfig::new(directory.path(), "web")),
        repeats: Some(RepeatLimit::new(Duration::from_secs(10), 3)?),
        secrets: &["wst_"],
        ..LogConfig::default()
    })?;
    for number in 0..5 {
        let request_id = format!("r-{number}");
        tracing::info_span!("request", request_id).in_scope(|| {
            tracing::info!(number, "request done");
            if number == 3 {
                tracing::warn!(header = "Bearer wst_0123456789abcdef", "the upstream is slow");
            }
        });
    }
    log.set_level(LogLevel::Warn);
    tracing::info!("this one is not logged");
    assert!(flush(Duration::from_secs(5)), "what was logged is written");
    println!("{} lines written, {} dropped; in the files of request r-3:", log.written(), log.dropped());
    let query = Query { ids: vec![("request_id".to_owned(), "r-3".to_owned())], ..Query::default() };
    for hit in search(directory.path(), "web", &query)?.hits {
        println!("{}", hit.line);
    }
    Ok(())
}
