//! Pages and followers.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use nkudo_logbook::{BookError, LogBook, LogSettings};
use nkudo_logging::{FilesConfig, LogFiles, Order, OutputCounts, Query, Rotation};
use tempfile::TempDir;

fn write(directory: &Path, numbers: std::ops::Range<u32>, pad: usize) {
    let config = FilesConfig { rotate_every: Rotation::Never, ..FilesConfig::new(directory, "app") };
    let mut files = LogFiles::open(config, OutputCounts::default()).unwrap();
    let (mut lines, pad) = (String::new(), "x".repeat(pad));
    for n in numbers {
        let head = "{\"timestamp\":\"2026-11-21T10:00:00.000Z\",\"level\":\"info\",\"component\":\"door\"";
        writeln!(lines, "{head},\"message\":\"line\",\"fields\":{{\"n\":{n},\"pad\":\"{pad}\"}}}}").unwrap();
    }
    files.write("2026-11-21T10:00:00Z".parse().unwrap(), lines.as_bytes()).unwrap();
}

/// The numbers of lines.
fn numbers(lines: &[String]) -> Vec<u64> {
    let read =
        |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["fields"]["n"].as_u64();
    lines.iter().map(|line| read(line).unwrap()).collect()
}

#[tokio::test]
async fn pages_are_bounded_in_bytes_and_go_on_where_they_ended() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 0..10, 1_000);
    let book = LogBook::new(dir.path(), "app");
    let (mut query, mut found) = (Query { max_bytes: 3_500, ..Query::default() }, Vec::new());
    loop {
        let page = book.lines(query.clone()).await.unwrap();
        assert!(page.lines.iter().map(String::len).sum::<usize>() <= 3_500, "{}", page.lines.len());
        found.extend(numbers(&page.lines));
        query.cursor = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(found, (0..10).rev().collect::<Vec<_>>());
    // A line that is larger than the bound comes alone.
    let page = book.lines(Query { max_bytes: 10, ..Query::default() }).await.unwrap();
    assert_eq!(numbers(&page.lines), [9]);
    let end = page.end;
    write(dir.path(), 10..12, 1);
    let later = Query { order: Order::OldestFirst, cursor: Some(end), ..Query::default() };
    assert_eq!(numbers(&book.lines(later).await.unwrap().lines), [10, 11]);
}

#[tokio::test]
async fn a_page_is_a_list_of_the_lines_as_they_are() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 0..3, 1);
    let page = LogBook::new(dir.path(), "app").page(Query { limit: 2, ..Query::default() }).await.unwrap();
    assert!(page.items[0].get().starts_with("{\"timestamp\":\"2026-11-21T10:00:00.000Z\",\"level\""));
    assert!(page.items.len() == 2 && page.next_cursor.is_some());
}

#[tokio::test]
async fn a_follower_begins_with_the_newest_lines_and_goes_on_with_new_ones() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 0..5, 1);
    let book = LogBook::new(dir.path(), "app");
    let mut follower = book.follow(Query { limit: 2, ..Query::default() }).await.unwrap();
    assert_eq!(numbers(&follower.next().await.unwrap()), [3, 4]);
    write(dir.path(), 5..7, 1);
    assert_eq!(numbers(&follower.next().await.unwrap()), [5, 6]);
    let mut newer = book.follow(Query { limit: 0, ..Query::default() }).await.unwrap();
    write(dir.path(), 7..8, 1);
    assert_eq!(numbers(&newer.next().await.unwrap()), [7]);
}

#[tokio::test]
async fn a_log_that_is_not_there_yet_can_be_followed_but_not_asked() {
    let dir = TempDir::new().unwrap();
    let logs = dir.path().join("logs");
    let book = LogBook::new(&logs, "app");
    let refused = book.page(Query::default()).await.unwrap_err();
    assert!(refused.query().is_none() && refused.to_string().contains("there is no log in"), "{refused}");
    let mut follower = book.follow(Query { limit: 5, ..Query::default() }).await.unwrap();
    write(&logs, 0..1, 1);
    assert_eq!(numbers(&follower.next().await.unwrap()), [0]);
}

#[tokio::test]
async fn so_many_follow_at_once_and_the_next_is_told() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 0..1, 1);
    let book = LogBook::new(dir.path(), "app");
    let mut followers = Vec::new();
    let refused = loop {
        match book.follow(Query { limit: 0, ..Query::default() }).await {
            Ok(follower) => followers.push(follower),
            Err(error) => break error,
        }
        assert!(followers.len() <= 32);
    };
    assert!(matches!(refused, BookError::Followers), "{refused}");
    followers.pop();
    assert!(
        book.follow(Query { limit: 0, ..Query::default() }).await.is_ok(),
        "a place that was left is free"
    );
}

#[test]
fn settings_say_where_and_how_often() {
    let settings = LogSettings::default();
    assert_eq!(settings.directory(Path::new("/var/lib/x")), Path::new("/var/lib/x/logs"));
    let limit = nkudo_logging::RepeatLimit::new(Duration::from_secs(10), 1_000).unwrap();
    assert_eq!(settings.repeat_limit(), Some(limit));
    let other = LogSettings { dir: Some("/var/log/x".into()), repeats: 0, ..settings };
    assert_eq!(other.directory(Path::new("/var/lib/x")), Path::new("/var/log/x"));
    assert_eq!(other.repeat_limit(), None);
}
