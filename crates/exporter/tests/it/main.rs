//! The exporter as scrapers, probes and misbehaving clients see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod collectors;
mod limits;
mod patched;
mod paths;
mod server;
