//! The three programs together, over real sockets.

mod kills;
mod rounds;
mod whole;
