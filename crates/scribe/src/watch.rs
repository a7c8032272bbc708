//! Writing as a supervised part of a program.

use std::time::Duration;

use nkudo_supervision::{ComponentError, Context, Health};

use crate::scribe::{Gone, Scribe};

/// How often it is looked how the writer does.
const LOOK: Duration = Duration::from_secs(1);

/// Tells how the writing goes until shutdown. The log is closed by whoever writes last.
///
/// # Errors
/// When the thread is gone: no restart brings it back.
pub async fn watch(scribe: &Scribe, context: &Context) -> Result<(), ComponentError> {
    let mut look = tokio::time::interval(LOOK);
    let mut told: Option<String> = None;
    loop {
        // Both are cancel safe: a look that was not taken is taken the next time.
        tokio::select! {
            () = context.shutdown.cancelled() => return Ok(()),
            _ = look.tick() => {}
        }
        if !scribe.is_alive() {
            return Err(ComponentError::hopeless(Gone));
        }
        context.health.progress();
        let trouble = scribe.trouble();
        if trouble == told {
            continue;
        }
        match &trouble {
            Some(reason) => {
                if told.is_none() {
                    tracing::error!(reason, "the audit log is in trouble");
                    context.health.error("write");
                }
                context.health.set(Health::Unhealthy(reason.clone()));
            }
            None => {
                tracing::info!("the audit log is out of trouble");
                context.health.set(Health::Healthy);
            }
        }
        told = trouble;
    }
}
