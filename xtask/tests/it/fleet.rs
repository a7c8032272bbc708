//! The three programs together, over real sockets.

mod identity;
mod kills;
mod openapi;
mod rounds;
mod whole;
mod wire;
