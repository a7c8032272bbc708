//! What a component is made of.

use std::fmt;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::check::Check;
use crate::health::HealthReporter;
use crate::operations::Operations;
use crate::restart::RestartBudget;

/// How a component is run.
#[derive(Debug, Clone)]
pub struct ComponentSpec {
    pub(crate) name: &'static str,
    pub(crate) restart: RestartBudget,
    pub(crate) progress_within: Option<Duration>,
    pub(crate) checks: Vec<Check>,
}

impl ComponentSpec {
    /// A component with this name, which is its label in metrics and health: one of a few, written in the program.
    pub fn new(name: &'static str) -> Self {
        Self { name, restart: RestartBudget::default(), progress_within: None, checks: Vec::new() }
    }

    #[must_use]
    pub fn with_restart(mut self, restart: RestartBudget) -> Self {
        self.restart = restart;
        self
    }

    /// The component tells of its progress at least this often, or it is not well.
    #[must_use]
    pub fn with_progress_within(mut self, within: Duration) -> Self {
        self.progress_within = Some(within);
        self
    }

    /// One more check, besides those that every component gets.
    #[must_use]
    pub fn with_check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }
}

/// What a running component is given.
#[derive(Debug, Clone)]
pub struct Context {
    pub name: &'static str,
    /// Cancelled when the component is to end.
    pub shutdown: CancellationToken,
    pub health: HealthReporter,
    /// Counts what the component has the kernel do.
    pub operations: Operations,
}

/// Why a component ended. Made from any error with `?`.
pub struct ComponentError {
    error: Box<dyn std::error::Error + Send + Sync>,
    pub(crate) hopeless: bool,
}

impl ComponentError {
    /// An error that no restart will mend: the component is given up at once.
    pub fn hopeless(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { error: Box::new(error), hopeless: true }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for ComponentError {
    fn from(error: E) -> Self {
        Self { error: Box::new(error), hopeless: false }
    }
}

impl fmt::Debug for ComponentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// The error with its causes, outermost first.
impl fmt::Display for ComponentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        let mut source = self.error.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
