//! Journals on disks that lose power, fail and rot.

mod atomic;
mod ballast;
mod damage;
mod faults;
mod foreign;
mod journals;
mod life;
mod model;
mod pieces;
mod real;
mod simulated;
mod spool;
mod spool_life;
mod writing;
