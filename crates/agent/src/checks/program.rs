//! Other programs: whether they are installed, and what they answer.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// The most of an answer that is kept, in bytes.
const ANSWER_MAX_BYTES: u64 = 4_096;
/// Hypervisors by the names of their programs.
const HYPERVISORS: [&str; 2] = ["cloud-hypervisor", "qemu-system-x86_64"];

/// Why a program did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    Absent,
    /// It ended otherwise than well, or could not be started.
    Failed(String),
    TooLate(Duration),
}

/// What a program says on its standard output, cut to a bound. It is killed when it takes too long.
pub(super) async fn ask(program: &str, arguments: &[&str], deadline: Duration) -> Result<String, NoAnswer> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.kill_on_drop(true);
    tokio::time::timeout(deadline, answer(command)).await.unwrap_or(Err(NoAnswer::TooLate(deadline)))
}

async fn answer(mut command: Command) -> Result<String, NoAnswer> {
    let failed = |error: io::Error| NoAnswer::Failed(error.to_string());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NoAnswer::Absent,
        _ => failed(error),
    })?;
    let mut stdout = child.stdout.take().expect("standard output was asked to be piped");
    let mut kept = Vec::new();
    (&mut stdout).take(ANSWER_MAX_BYTES).read_to_end(&mut kept).await.map_err(failed)?;
    // A program whose output nobody reads any more would not end well.
    tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await.map_err(failed)?;
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        Ok(String::from_utf8_lossy(&kept).into_owned())
    } else {
        Err(NoAnswer::Failed(status.to_string()))
    }
}

/// The hypervisors that are installed, by the names of their programs.
pub fn installed_hypervisors() -> Vec<String> {
    HYPERVISORS.into_iter().filter(|program| is_on_path(program)).map(str::to_owned).collect()
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_program(&directory.join(program)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any of these programs takes.
    const PATIENT: Duration = Duration::from_secs(60);

    async fn check(script: &str, deadline: Duration, expected: Result<&str, NoAnswer>) {
        let answer = ask("sh", &["-c", script], deadline).await;
        assert_eq!(answer.as_deref().map_err(Clone::clone), expected, "{script}");
    }

    #[tokio::test]
    async fn an_answer_is_kept_when_the_program_ends_well() {
        check("echo v1; echo odd >&2", PATIENT, Ok("v1\n")).await;
        check("echo v1; exit 3", PATIENT, Err(NoAnswer::Failed("exit status: 3".to_owned()))).await;
    }

    #[tokio::test]
    async fn a_program_that_never_ends_is_given_up() {
        let deadline = Duration::from_millis(20);
        check("kill -STOP $$", deadline, Err(NoAnswer::TooLate(deadline))).await;
        check("while :; do echo more; done", deadline, Err(NoAnswer::TooLate(deadline))).await;
    }

    #[tokio::test]
    async fn a_long_answer_is_cut_and_its_program_ends_well() {
        let answer = ask("sh", &["-c", "head -c 1000000 /dev/zero"], PATIENT).await.unwrap();
        assert_eq!(answer.len() as u64, ANSWER_MAX_BYTES);
    }

    #[tokio::test]
    async fn what_is_not_there_is_absent() {
        assert_eq!(ask("/no/such/program", &[], PATIENT).await, Err(NoAnswer::Absent));
        assert!(is_on_path("sh") && !is_on_path("no-such-program"));
    }
}
