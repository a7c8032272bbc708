//! The three programs together, over real sockets.

mod audit;
mod bad_input;
mod collected;
mod commands;
mod fire;
mod identity;
mod kills;
mod load;
mod logs;
mod metrics;
mod openapi;
mod outages;
mod restored;
mod rounds;
mod tenants;
mod traces;
mod whole;
mod wire;
