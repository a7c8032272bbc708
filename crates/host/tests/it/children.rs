//! Children of the tests, which end with them.

use std::ffi::OsString;
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

use nkudo_host::pidfd::Signal;
use nkudo_host::spawn::{self, Child, Detached};

/// How long a test waits for a state that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child that is killed and reaped when the test ends, however it ends.
pub(crate) struct Guarded(Child);

impl Deref for Guarded {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.0.try_reap().is_none() {
            self.0.pidfd().signal(Signal::Kill).expect("our own child can be killed");
            while self.0.try_reap().is_none() {
                std::thread::yield_now();
            }
        }
    }
}

pub(crate) fn null() -> File {
    File::options().read(true).write(true).open("/dev/null").expect("/dev/null opens")
}

pub(crate) fn program<'a>(program: &'a str, args: &'a [OsString]) -> Detached<'a> {
    let cwd = Path::new("/");
    Detached {
        program: Path::new(program),
        args,
        stdin: null(),
        stdout: null(),
        stderr: null(),
        cwd,
        env: &[],
    }
}

pub(crate) fn start(what: Detached<'_>) -> Guarded {
    Guarded(spawn::detached(what).expect("the child starts"))
}

/// `/bin/sh -c script`.
pub(crate) fn shell(script: &str) -> Guarded {
    start(program("/bin/sh", &["-c".into(), script.into()]))
}

/// A child that does nothing until it is killed.
pub(crate) fn idle() -> Guarded {
    start(program("/bin/sleep", &["600".into()]))
}

/// Waits until `look` sees something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never seen: {what}"))
}

/// The end of something that must come to an end.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never came: {what}"))
}
