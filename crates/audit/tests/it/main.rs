//! Audit logs that are tampered with, on disks that lose power, fail and fill up.

mod faults;
mod format;
mod full;
mod keys;
mod logs;
mod metrics;
mod model;
mod pruning;
mod reading;
mod real;
mod tampering;
mod window;
