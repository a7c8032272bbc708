//! The three programs together, over real sockets.

mod bad_input;
mod collected;
mod identity;
mod kills;
mod load;
mod logs;
mod metrics;
mod openapi;
mod rounds;
mod tenants;
mod traces;
mod whole;
mod wire;
