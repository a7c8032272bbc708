//! The host as it is: real processes, files and sockets.

mod cgroup;
mod children;
mod contained;
mod files;
mod host;
mod lock;
mod pidfd;
mod process;
mod spawn;
mod unix;
