//! The three programs together, over real sockets.

mod bad_input;
mod identity;
mod kills;
mod load;
mod logs;
mod metrics;
mod openapi;
mod rounds;
mod tenants;
mod whole;
mod wire;
