//! `logs`.

use nkudo_agent::config::Settings;
use nkudo_agent::daemon::log_book;
use nkudo_terminal::daemon::{client, client_failure, within_reach};
use nkudo_terminal::logs::{Asked, LogFlags, path, until_interrupted};
use nkudo_terminal::{Failure, Output};

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
        return follow_files(settings, asked).await;
    }
    if asked.follow(&client(settings), &[], client_failure).await? {
        return Ok(());
    }
    Err(Failure::Failed("the daemon ended, and the stream with it".to_owned()))
}

/// A daemon may start meanwhile: the files are the same.
async fn follow_files(settings: &Settings, asked: &Asked) -> Result<(), Failure> {
    let told = async {
        let book = log_book(settings);
        let mut follower = book.follow(asked.question.query.clone()).await.map_err(Failure::failed)?;
        loop {
            let lines = follower.next().await.map_err(Failure::failed)?;
            lines.iter().try_for_each(|line| asked.line(line))?;
        }
    };
    until_interrupted(told).await.map(|_is_interrupted| ())
}
