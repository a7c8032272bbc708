//! Questions and their answers, over real files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod books;
mod questions;
