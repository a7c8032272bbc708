//! What a call gave, kept so that it can be read again.

use std::path::{Path, PathBuf};

use crate::error::{ConfigError, Source};
use crate::raw::{self, Raw, RawValue};
use crate::schema::Schema;

/// The layers of one call.
#[derive(Debug)]
pub struct Sources<S: 'static> {
    pub schema: &'static Schema<S>,
    /// The file that was named; a named file must be there.
    pub file: Option<PathBuf>,
    environment: Vec<Raw>,
    /// Variables with the program's prefix that are no key, each with the nearest that is one. They may be meant for
    /// another version of it, so they are told and not refused.
    pub unknown_variables: Vec<(String, Option<String>)>,
    flags: Vec<Raw>,
}

impl<S> Clone for Sources<S> {
    fn clone(&self) -> Self {
        Self {
            schema: self.schema,
            file: self.file.clone(),
            environment: self.environment.clone(),
            unknown_variables: self.unknown_variables.clone(),
            flags: self.flags.clone(),
        }
    }
}

impl<S: Default> Sources<S> {
    /// The layers of a call: the file that it names, its flags (key, flag, value), its environment. The variable
    /// `PREFIX` with `CONFIG` names the file when the call does not.
    pub fn new(
        schema: &'static Schema<S>,
        file: Option<PathBuf>,
        flags: impl IntoIterator<Item = (&'static str, &'static str, Option<String>)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let config = format!("{}CONFIG", schema.prefix);
        let named =
            environment.iter().find(|(name, _)| *name == config).map(|(_, value)| PathBuf::from(value));
        let flags = flags.into_iter().filter_map(|(key, flag, value)| {
            let value = RawValue::Text(value?);
            Some(Raw { key: key.to_owned(), value, source: Source::Flag(flag) })
        });
        Self {
            schema,
            file: file.or(named),
            unknown_variables: raw::unknown_variables(
                schema,
                environment.iter().map(|(name, _)| name.as_str()),
            ),
            environment: raw::read_environment(schema, environment.into_iter()),
            flags: flags.collect(),
        }
    }

    /// Reads the file, again when it was read before, and puts all layers together.
    ///
    /// # Errors
    /// When a named file is not there, or a layer holds an unknown key or a wrong value.
    pub fn load(&self) -> Result<S, ConfigError> {
        let default = Path::new(self.schema.default_file);
        let file = match &self.file {
            Some(path) => raw::read_file(self.schema, path)?,
            None if default.exists() => raw::read_file(self.schema, default)?,
            None => Vec::new(),
        };
        let mut settings = S::default();
        for raw in file.iter().chain(&self.environment).chain(&self.flags) {
            self.schema.set(&mut settings, raw)?;
        }
        Ok(settings)
    }
}
