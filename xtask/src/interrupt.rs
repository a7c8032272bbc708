//! Ctrl-C as a state that waiting looks at, so that what a workflow started is cleaned up and not left behind.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM do not end this process; they are seen by [`asked`] and [`check`].
pub fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut int, mut term) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                // A signal that is not taken now is taken the next time.
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                ASKED.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
}

/// Whether the end was asked for since this was asked last: the clean-up that follows may wait again.
pub fn asked() -> bool {
    ASKED.swap(false, Ordering::Relaxed)
}

/// An error once the end was asked for.
pub fn check() -> Result<()> {
    ensure!(!asked(), "interrupted");
    Ok(())
}
