//! The host as it is: real processes, files and sockets.

mod children;
mod files;
mod host;
mod lock;
mod pidfd;
mod process;
mod spawn;
mod unix;
