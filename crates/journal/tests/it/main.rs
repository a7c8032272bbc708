//! Journals on disks that lose power, fail and rot.

mod atomic;
mod damage;
mod faults;
mod journals;
mod model;
mod real;
mod simulated;
mod writing;
