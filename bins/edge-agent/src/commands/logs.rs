//! `logs`.

use nkudo_agent::config::Settings;
use nkudo_agent::daemon::log_book;
use nkudo_logging::Query;
use nkudo_terminal::daemon::{client, client_failure, within_reach};
use nkudo_terminal::logs::{Asked, LogFlags, StreamEnd, path, until_interrupted};
use nkudo_terminal::{Failure, Output, print};

pub(crate) async fn run(settings: &Settings, flags: LogFlags, output: Output) -> Result<(), Failure> {
    let asked = flags.read(output)?;
    if asked.question.follow { follow(settings, &asked).await } else { search(settings, &asked).await }
}

async fn search(settings: &Settings, asked: &Asked) -> Result<(), Failure> {
    let book = log_book(settings);
    let list = asked.pages(async |question| match within_reach(settings, &path(question, &[])).await? {
        Some(page) => Ok(page),
        None => book.page(question.query.clone()).await.map_err(Failure::failed),
    });
    asked.show(&list.await?)
}

async fn follow(settings: &Settings, asked: &Asked) -> Result<(), Failure> {
    // Whether there is a daemon at all is told by its answer to something small.
    let daemon: Option<serde_json::Value> = within_reach(settings, "/v1/log-level").await?;
    if daemon.is_none() {
        return follow_files(settings, asked, asked.question.query.clone(), 0).await;
    }
    let Some(end) = asked.follow(&client(settings), &[], client_failure).await? else { return Ok(()) };
    print::note("the daemon ended, or its stream broke; its files are followed on");
    let StreamEnd { place, shown, error: _ } = end;
    let query = Query { cursor: place, limit: 0, ..asked.question.query.clone() };
    follow_files(settings, asked, query, if place.is_some() { shown } else { 0 }).await
}

/// All but the first `shown` lines. A daemon may start meanwhile: the files are the same.
async fn follow_files(
    settings: &Settings,
    asked: &Asked,
    query: Query,
    mut shown: usize,
) -> Result<(), Failure> {
    let told = async {
        let mut follower = log_book(settings).follow(query).await.map_err(Failure::failed)?;
        loop {
            let lines = follower.next().await.map_err(Failure::failed)?;
            lines.iter().skip(shown).try_for_each(|line| asked.line(line))?;
            shown = shown.saturating_sub(lines.len());
        }
    };
    until_interrupted::<()>(told).await.map(Option::unwrap_or_default)
}
