//! The commands of this host that both command lines have.

mod check;
mod renew;
mod status;
mod unenroll;

pub use check::check;
pub use renew::renew;
pub use status::status;
pub use unenroll::{Unenroll, unenroll};
