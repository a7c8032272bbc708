//! Named pipes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// Makes a named pipe, for our user alone (mode 0600).
///
/// # Errors
/// `AlreadyExists` when something is there.
pub fn make(path: &Path) -> io::Result<()> {
    Ok(mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?)
}

/// Opens a named pipe for both directions: so it opens at once whether or not there is another end, what is
/// written waits in it, and its reader sees no end of file while this is open. No call on the file blocks.
///
/// # Errors
/// `InvalidInput` when it is something else than a named pipe.
pub fn open_rdwr_nonblocking(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        let text = format!("{} is not a named pipe", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(file)
}
