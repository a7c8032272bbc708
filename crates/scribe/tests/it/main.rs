//! A log that is written by a thread of its own, that fills up, is tampered with and mended, and that others leave notes
//! for.

mod full;
mod mended;
mod notes;
mod room;
mod world;
