//! The log files of a daemon, as its settings have them written and as its users ask them: on its socket, over REST, from
//! another host over a link, and from a command line that finds no daemon.
//!
//! The principal type is [`LogBook`]. A [`Question`] is read from the parameters that all of these share; [`LogSettings`]
//! is what the daemons' configurations say of their files. What the files are called and how they are searched is in
//! `nkudo_logging`.
//!
//! ```
//! use nkudo_logbook::{LogBook, Question};
//! use nkudo_logging::{FilesConfig, LogFiles, OutputCounts};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let mut files = LogFiles::open(FilesConfig::new(directory.path(), "app"), OutputCounts::default())?;
//! let line = br#"{"timestamp":"2026-11-21T10:00:00.000Z","level":"info","message":"work done","fields":{}}"#;
//! files.write("2026-11-21T10:00:01Z".parse()?, &[line, b"\n".as_slice()].concat())?;
//! let parameters = [("q".to_owned(), "done".to_owned())].into();
//! let question = Question::read(&parameters, 1_795_255_200_000).map_err(|faults| faults[0].to_string())?;
//! let book = LogBook::new(directory.path(), "app");
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! let page = runtime.block_on(book.page(question.query))?;
//! assert_eq!(page.items.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** the files are only read here, but by the thread of the daemon's own log.
//! **Invariant:** two searches at most run at once for one daemon, and no worker of its runtime waits for the disk.

mod book;
mod follower;
mod question;
mod settings;

pub use book::{BookError, LogBook, Page};
pub use follower::Follower;
pub use question::Question;
pub use settings::{FILE_MIN_BYTES, LogSettings, REPEATS_MAX};
