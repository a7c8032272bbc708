//! The terminal of this process.

/// The columns of the terminal that standard output is; none where it is no terminal, or one that does not say.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
