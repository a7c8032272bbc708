//! Settings in layers: flag over environment over file over default, each value with where it came from.
//!
//! The principal type is [`Schema`]: the keys of a program, each once, with its name, how it is read and how it is
//! shown. [`Sources`] holds what a call gave, reads the file, and puts the layers together, as often as it is asked.
//!
//! ```
//! use nkudo_settings::{Key, Schema, Sources};
//!
//! #[derive(Debug, Clone, Default)]
//! struct Settings { port: u64 }
//!
//! static SCHEMA: Schema<Settings> = Schema {
//!     prefix: "DEMO_",
//!     default_file: "/etc/demo/demo.toml",
//!     sections: &[],
//!     keys: &[Key::new("port", "where it listens", |s| s.port.to_string(), |s, given| {
//!         s.port = given.number(1, 65_535)?;
//!         Ok(())
//!     })],
//! };
//!
//! let environment = [("DEMO_PORT".to_owned(), "8080".to_owned())];
//! let sources = Sources::new(&SCHEMA, None, [("port", "port", None)], environment);
//! assert_eq!(sources.load()?.port, 8080);
//! let sources = Sources::new(&SCHEMA, None, [("port", "port", Some("0".to_owned()))], []);
//! let sentence = sources.load().unwrap_err().to_string();
//! assert_eq!(sentence, "--port: port: must be a whole number from 1 to 65535, not `0`");
//! # Ok::<(), nkudo_settings::ConfigError>(())
//! ```
//!
//! **Invariant:** a key that is not known is refused in a file, with its line and the nearest that is known.
//! **Invariant:** a value is checked where it is read; no half-read settings leave [`Sources::load`].

mod error;
mod given;
mod nearest;
mod raw;
mod schema;
mod sources;

pub use error::{ConfigError, Source};
pub use given::Given;
pub use nearest::nearest;
pub use raw::{Raw, RawValue};
pub use schema::{Changes, Key, Schema};
pub use sources::Sources;
