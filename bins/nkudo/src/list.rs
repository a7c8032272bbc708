//! Lists, page after page, once or again and again.

use std::io::IsTerminal;
use std::time::Duration;

use nkudo_api::view::List;
use nkudo_terminal::{Failure, Output, print};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::Listing;
use crate::query::Query;
use crate::session::Session;

/// Most items that are asked for at once.
const PAGE_MAX: usize = 1_000;
/// Most items of a list that is shown whole.
const ALL_MAX: usize = 100_000;
/// How long a list that is watched stands.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Clears a terminal and begins at its top (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What a list is made of.
pub(crate) trait Row: DeserializeOwned {
    const HEADINGS: &'static [&'static str];
    /// What is said where there is none.
    const NONE: &'static str;

    fn cells(&self) -> Vec<String>;
}

/// Shows the list at `query`.
pub(crate) async fn run<R: Row>(session: &Session, query: &Query, listing: &Listing) -> Result<(), Failure> {
    let first = fetch(session, query, listing).await?;
    if !listing.watch {
        return show::<R>(session.output, &first);
    }
    redraw::<R>(session.output, &first)?;
    tokio::select! {
        stopped = tokio::signal::ctrl_c() => stopped.map_err(Failure::failed),
        // Cancel safe: what is lost is an answer that nobody wants any more.
        failed = watch::<R>(session, query, listing) => failed,
    }
}

/// Shows the list again and again. One that cannot be had is told, and asked for again.
async fn watch<R: Row>(session: &Session, query: &Query, listing: &Listing) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        match fetch(session, query, listing).await {
            Ok(list) => redraw::<R>(session.output, &list)?,
            Err(Failure::Failed(sentence)) => print::note(&sentence),
            Err(failure @ (Failure::Refused(_) | Failure::NotFine)) => return Err(failure),
        }
    }
}

/// Pages until there is enough, or no more.
async fn fetch(session: &Session, query: &Query, listing: &Listing) -> Result<List<Value>, Failure> {
    let wanted = if listing.all { ALL_MAX } else { usize::try_from(listing.limit).unwrap_or(ALL_MAX) };
    let mut items = Vec::new();
    let mut cursor = listing.cursor.clone();
    loop {
        let page = query
            .clone()
            .with("limit", Some(&(wanted - items.len()).min(PAGE_MAX)))
            .with("cursor", cursor.as_ref());
        let page: List<Value> = serde_json::from_value(session.get(&page).await?).map_err(unexpected)?;
        items.extend(page.items);
        if page.next_cursor.is_some() && page.next_cursor == cursor {
            return Err(Failure::Failed("the control plane gives the same page again and again".to_owned()));
        }
        cursor = page.next_cursor;
        if cursor.is_none() || items.len() >= wanted {
            return Ok(List { items, next_cursor: cursor });
        }
    }
}

fn redraw<R: Row>(output: Output, list: &List<Value>) -> Result<(), Failure> {
    match output {
        Output::Json => print::json_line(list),
        Output::Text => {
            if std::io::stdout().is_terminal() {
                print::painted(&format!("{CLEAR}every {} s; Ctrl-C ends", WATCH_INTERVAL.as_secs()))?;
            }
            show::<R>(output, list)
        }
    }
}

fn show<R: Row>(output: Output, list: &List<Value>) -> Result<(), Failure> {
    match output {
        Output::Json => return print::json(list),
        Output::Text if list.items.is_empty() => print::line(R::NONE)?,
        Output::Text => {
            let rows: Result<Vec<R>, _> = list.items.iter().cloned().map(serde_json::from_value).collect();
            print::table(R::HEADINGS, rows.map_err(unexpected)?.iter().map(Row::cells))?;
        }
    }
    if list.next_cursor.is_some() {
        print::note(&format!("these are the first {}; --limit N or --all shows more", list.items.len()));
    }
    Ok(())
}

/// Shows one thing: as it came, or as lines of headings and cells.
pub(crate) fn one<R: Row>(output: Output, value: &Value) -> Result<(), Failure> {
    match output {
        Output::Json => print::json(value),
        Output::Text => {
            let row: R = serde_json::from_value(value.clone()).map_err(unexpected)?;
            let width = R::HEADINGS.iter().map(|heading| heading.len() + 1).max().unwrap_or_default();
            R::HEADINGS.iter().zip(row.cells()).try_for_each(|(heading, cell)| {
                print::line(&format!("{:<width$} {}", format!("{heading}:"), print::escaped(&cell)))
            })
        }
    }
}

/// An answer of another shape than the contract's.
pub(crate) fn unexpected(error: serde_json::Error) -> Failure {
    let error = anyhow::Error::from(error);
    Failure::failed(
        error.context("the answer is not what was asked for; is the control plane of another version?"),
    )
}
