//! The world, played.

mod bugs;
mod seeds;
