//! The keys of a program.

use std::path::Path;

use crate::error::ConfigError;
use crate::given::Given;
use crate::raw::{self, Raw};

/// One key.
#[derive(Debug)]
pub struct Key<S: 'static> {
    /// With its section: `qemu.accel`.
    pub name: &'static str,
    /// One line for people, said to whoever misspells the key.
    pub help: &'static str,
    /// Whether a reload changes it; else it needs a restart.
    pub live: bool,
    /// Whether it is a table whose keys are free.
    pub free: bool,
    /// The value of these settings, as text.
    pub show: fn(&S) -> String,
    /// Puts a given value into its place; the error says what it must be.
    pub set: fn(&mut S, &Given<'_>) -> Result<(), String>,
}

impl<S> Key<S> {
    /// A key that needs a restart.
    pub const fn new(
        name: &'static str,
        help: &'static str,
        show: fn(&S) -> String,
        set: fn(&mut S, &Given<'_>) -> Result<(), String>,
    ) -> Self {
        Self { name, help, live: false, free: false, show, set }
    }

    /// The same key, changed by a reload.
    #[must_use]
    pub const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// The same key as a table whose keys are free: `log_components.executor`.
    #[must_use]
    pub const fn free(mut self) -> Self {
        self.free = true;
        self
    }

    /// Whether `key` is this one; a table of free keys is named by its section.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.name == key || (self.free && self.rest(key).is_some_and(|rest| !rest.is_empty()))
    }

    /// What follows the name of a table of free keys.
    fn rest<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.name)?.strip_prefix('.')
    }

    /// Its environment variable without the prefix, in small letters.
    pub(crate) fn variable(&self) -> String {
        self.name.replace('.', "_")
    }
}

/// The keys of a program and where they are looked for.
#[derive(Debug)]
pub struct Schema<S: 'static> {
    /// What the names of environment variables begin with.
    pub prefix: &'static str,
    /// Where the file is looked for when nobody says.
    pub default_file: &'static str,
    /// The tables of the file.
    pub sections: &'static [&'static str],
    pub keys: &'static [Key<S>],
}

impl<S> Schema<S> {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key<S>> {
        self.keys.iter().find(|key| key.names(name))
    }

    /// The values that a file gives, each with its line.
    ///
    /// # Errors
    /// When the file cannot be read, is not TOML, or holds an unknown key.
    pub fn read_file(&self, path: &Path) -> Result<Vec<Raw>, ConfigError> {
        raw::read_file(self, path)
    }

    /// Puts one raw value into its place.
    pub(crate) fn set(&self, settings: &mut S, raw: &Raw) -> Result<(), ConfigError> {
        let Some(key) = self.key(&raw.key) else {
            return Err(ConfigError::UnknownKey {
                source_at: raw.source.clone(),
                key: raw.key.clone(),
                hint: "it is not a key of this program".to_owned(),
            });
        };
        let given = Given { value: &raw.value, source: &raw.source, rest: key.rest(&raw.key).unwrap_or("") };
        (key.set)(settings, &given).map_err(|detail| ConfigError::BadValue {
            source_at: raw.source.clone(),
            key: key.name,
            detail,
        })
    }

    /// The keys whose values differ, for a reload: those that change live, and those that need a restart.
    pub fn changes(&self, old: &S, new: &S) -> Changes {
        let mut changes = Changes::default();
        for key in self.keys {
            if (key.show)(old) != (key.show)(new) {
                let list = if key.live { &mut changes.live } else { &mut changes.restart };
                list.push(key.name);
            }
        }
        changes
    }
}

/// What a reload would change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    pub live: Vec<&'static str>,
    pub restart: Vec<&'static str>,
}
