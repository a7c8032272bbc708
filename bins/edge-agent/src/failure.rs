//! From an error to a sentence and an exit code.

use std::fmt::Display;
use std::process::ExitCode;

/// How a command ended when it did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Refused before anything was done: wrong flag, key, value or file content. Exit code 2.
    Refused(String),
    /// Tried and failed. Exit code 1.
    Failed(String),
    /// The answer was printed, and it is that something is not fine. Exit code 1.
    NotFine,
}

impl Failure {
    pub(crate) fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self::Refused(format!("{:#}", error.into()))
    }

    pub(crate) fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(format!("{:#}", error.into()))
    }

    /// Says what is wrong on standard error.
    #[expect(clippy::print_stderr, reason = "errors of a command line go to standard error")]
    pub(crate) fn report(self) -> ExitCode {
        let say = |sentence: &dyn Display| eprintln!("edge-agent: {sentence}");
        match self {
            Self::Refused(sentence) => {
                say(&sentence);
                ExitCode::from(2)
            }
            Self::Failed(sentence) => {
                say(&sentence);
                ExitCode::FAILURE
            }
            Self::NotFine => ExitCode::FAILURE,
        }
    }
}
