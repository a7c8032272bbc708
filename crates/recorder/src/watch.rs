//! Recording as a supervised part of a program.

use std::time::Duration;

use nkudo_supervision::{ComponentError, Context, Health};

use crate::recorder::{NoAnswer, Recorder};

/// How often it is looked whether traces are written.
const LOOK: Duration = Duration::from_secs(1);

/// Tells how recording goes until shutdown, and has everything be on disk then.
///
/// # Errors
/// When the recorder's thread is gone: no restart brings it back.
pub async fn watch(recorder: &Recorder, context: &Context) -> Result<(), ComponentError> {
    let mut look = tokio::time::interval(LOOK);
    let mut told: Option<String> = None;
    let mut vanished_told = 0;
    loop {
        // Both are cancel safe: a look that was not taken is taken the next time.
        tokio::select! {
            () = context.shutdown.cancelled() => break,
            _ = look.tick() => {}
        }
        if !recorder.is_alive() {
            return Err(ComponentError::hopeless(NoAnswer::Gone));
        }
        let vanished = recorder.files_vanished();
        if vanished > vanished_told {
            let (dir, files) = (recorder.dir().display(), vanished - vanished_told);
            tracing::warn!(%dir, files, "files of recent traces were deleted by somebody else");
            vanished_told = vanished;
        }
        let failure = recorder.failure();
        if failure == told {
            continue;
        }
        match &failure {
            Some(reason) => {
                tracing::warn!(reason, "recent traces are in memory only");
                context.health.error("write");
                context.health.set(Health::Degraded(format!("recent traces are in memory only: {reason}")));
            }
            None => {
                tracing::info!("recent traces are written again");
                context.health.set(Health::Healthy);
            }
        }
        told = failure;
    }
    recorder.flush().await.map_err(ComponentError::from)
}
