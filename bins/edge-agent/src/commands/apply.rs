//! `apply`: actions from a file, through the daemon or in process.

use std::io::Read;
use std::path::Path;

use nkudo_agent::config::Settings;
use nkudo_agent::origin::new_origin;
use nkudo_api::file::{FileFormat, parse};
use nkudo_api::view::OutcomeLine;
use nkudo_domain::{Action, ActionStatus};
use nkudo_terminal::perform::perform;
use nkudo_terminal::{Failure, Output, print};

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 16 << 20;

pub(crate) async fn run(
    settings: &Settings,
    file: &Path,
    keep_going: bool,
    output: Output,
) -> Result<(), Failure> {
    let actions = read(file)?;
    let all = perform(settings, actions, keep_going, &mut |line| tell(line, output)).await?;
    if all { Ok(()) } else { Err(Failure::NotFine) }
}

/// Every action of the file; nothing is done unless all are valid.
fn read(file: &Path) -> Result<Vec<Action>, Failure> {
    let from_stdin = file == Path::new("-");
    let name = if from_stdin { "standard input".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let read = if from_stdin {
        std::io::stdin().take(FILE_MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Refused(format!("{name} cannot be read: {error}")))?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(Failure::Refused(format!("{name} is larger than {FILE_MAX_BYTES} bytes; split it")));
    }
    let extension = file.extension().and_then(|extension| extension.to_str());
    parse(&text, FileFormat::detect(extension, &text), new_origin)
        .map_err(|error| Failure::Refused(format!("{name}: {error}")))
}

fn tell(line: &OutcomeLine, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => print::json_line(line),
        Output::Text => {
            let end = match (&line.error, line.changed, line.status) {
                (Some(error), _, status) => format!("{status}: {}", print::escaped(error)),
                (None, false, ActionStatus::Success) => "success (unchanged)".to_owned(),
                (None, _, status) => status.to_string(),
            };
            print::line(&format!("{} {} {end} ({} ms)", line.action_id, line.action_type, line.duration_ms))?;
            print::output_of_command(line.result.as_ref())
        }
    }
}
