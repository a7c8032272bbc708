//! The store as its owner sees it.

mod aging;
mod bounds;
mod damage;
mod full_disk;
mod gone;
mod keeping;
mod model;
mod stored;
mod strangers;
mod world;
