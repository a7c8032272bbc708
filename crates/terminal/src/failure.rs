//! From an error to a sentence and an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use crate::print::shown;

/// How a command ended when it did not end well.
#[derive(Debug)]
pub enum Failure {
    /// Refused before anything was done: wrong flag, key, value or file content. Exit code 2.
    Refused(String),
    /// Tried and failed. Exit code 1.
    Failed(String),
    /// The answer was printed, and it is that something is not fine. Exit code 1.
    NotFine,
}

impl Failure {
    /// A refusal, with the error's causes.
    pub fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self::Refused(format!("{:#}", error.into()))
    }

    /// A failure, with the error's causes.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(format!("{:#}", error.into()))
    }

    /// Says what is wrong on standard error.
    pub fn report(self, program: &str) -> ExitCode {
        // Where standard error is closed there is nobody to tell; the exit code still says it.
        let say = |sentence: &str| drop(writeln!(std::io::stderr(), "{program}: {}", shown(sentence)));
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
