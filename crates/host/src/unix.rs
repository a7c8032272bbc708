//! Unix sockets at paths of any length.
//!
//! The kernel takes 107 bytes of path. A longer one is reached through a descriptor of its directory, as
//! `/proc/self/fd/<n>/<name>`.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_fd, connect as connect_fd, listen,
    socket,
};
use rustix::fs::{Mode, OFlags, fchmod, open};
use tokio::net::{UnixListener, UnixStream};

/// `sun_path` is 108 bytes, one of them the terminating zero.
const PATH_BYTES: usize = 107;

/// Connections that may wait to be accepted.
const WAITING_CONNECTIONS: i32 = 128;

/// Connects to the socket at `path`. Cancel safe.
///
/// # Errors
/// As connect(2): `NotFound` when there is no socket, `ConnectionRefused` when nobody listens on it.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = Address::of(path)?;
    UnixStream::connect(&address.path).await
}

/// Listens at `path`, for our user alone (mode 0600 from its first moment). A socket file on which nobody answers
/// is replaced. Two who do this at the same time for one path must be kept apart by a lock.
///
/// # Errors
/// `AddrInUse` when somebody answers there, `AlreadyExists` when something else than a socket is there.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let address = Address::of(path)?;
    remove_stale(path, &address)?;
    let fd = new_socket()?;
    // The socket file takes its mode from the unbound socket, so there is no moment at which others may connect.
    fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
    bind_fd(fd.as_raw_fd(), &UnixAddr::new(&address.path)?)?;
    listen(&fd, Backlog::new(WAITING_CONNECTIONS)?)?;
    UnixListener::from_std(fd.into())
}

/// A path that is short enough, and what must stay open while it is used.
struct Address {
    path: PathBuf,
    _directory: Option<OwnedFd>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Address> {
        if path.as_os_str().len() <= PATH_BYTES {
            return Ok(Address { path: path.to_owned(), _directory: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path of a socket ends in a name"));
        };
        let directory = open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        if short.as_os_str().as_bytes().len() > PATH_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name of a socket has at most 80 bytes",
            ));
        }
        Ok(Address { path: short, _directory: Some(directory) })
    }
}

fn remove_stale(path: &Path, address: &Address) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} is there and is not a socket", path.display()),
            ));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    // Without blocking: a listener whose queue is full says EAGAIN, and lives.
    match connect_fd(new_socket()?.as_raw_fd(), &UnixAddr::new(&address.path)?) {
        Ok(()) | Err(Errno::EAGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, format!("somebody listens on {}", path.display())))
        }
        Err(Errno::ENOENT) => Ok(()),
        Err(Errno::ECONNREFUSED) => fs::remove_file(path),
        Err(errno) => Err(errno.into()),
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}
