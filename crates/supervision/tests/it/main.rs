//! Components that fail, panic, hang and end, in paused time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checks;
mod ending;
mod mailboxes;
mod measured;
mod restarts;
mod spans;

use std::time::Duration;

use nkudo_metrics_core::{Format, Registry};
use nkudo_supervision::{ComponentError, Context, Supervisor};

fn supervisor() -> (Registry, Supervisor) {
    let registry = Registry::new();
    let supervisor = Supervisor::new(&registry, "app_", || 7);
    (registry, supervisor)
}

/// The registry exposes this line.
fn check(registry: &Registry, line: &str) {
    let mut out = Vec::new();
    registry.encode(Format::Text004, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
}

/// Lets paused time pass until the overall health is this.
async fn until(supervisor: &Supervisor, health: &str) {
    for _ in 0..200 {
        if supervisor.health().overall.as_str() == health {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("never {health}: {:?}", supervisor.health());
}

async fn serve(context: Context) -> Result<(), ComponentError> {
    context.shutdown.cancelled().await;
    Ok(())
}
