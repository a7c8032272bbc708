//! The store as its owner sees it.

mod keeping;
mod world;
