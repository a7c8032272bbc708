//! Values as they were given, before anybody knows whether they are right.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::error::{ConfigError, Source};
use crate::nearest::nearest;
use crate::schema::{Key, Schema};

/// One value for one key. The value may be a secret: it does not print itself.
#[derive(Clone, PartialEq)]
pub struct Raw {
    /// The key's name with its section: `qemu.accel`; for a table of free keys the rest follows: `log_components.x`.
    pub key: String,
    pub value: RawValue,
    pub source: Source,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").field("key", &self.key).field("source", &self.source).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RawValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawValue(…)")
    }
}

#[derive(Clone, PartialEq)]
pub enum RawValue {
    Text(String),
    Flag(bool),
    Number(i64),
    Fraction(f64),
    List(Vec<String>),
    /// A value of a type that no key has, by its name.
    Other(&'static str),
}

/// The values of a configuration file, with their lines. Unknown keys are refused here.
pub(crate) fn read_file<S>(schema: &Schema<S>, path: &Path) -> Result<Vec<Raw>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), detail: error.to_string() })?;
    parse(schema, &text, path)
}

fn parse<S>(schema: &Schema<S>, text: &str, path: &Path) -> Result<Vec<Raw>, ConfigError> {
    let source = |offset: usize| Source::File { path: path.to_owned(), line: line_of(text, offset) };
    let table = DeTable::parse(text).map_err(|error| ConfigError::NotToml {
        source_at: source(error.span().map_or(0, |span| span.start)),
        detail: error.message().to_owned(),
    })?;
    let mut found = Vec::new();
    for (name, value) in table.get_ref() {
        let at = source(name.span().start);
        let name: &str = name.get_ref();
        match value.get_ref() {
            DeValue::Table(section) if schema.sections.contains(&name) => {
                for (inner, value) in section {
                    let at = source(inner.span().start);
                    found.push(known(schema, format!("{name}.{}", inner.get_ref()), value.get_ref(), at)?);
                }
            }
            value => found.push(known(schema, name.to_owned(), value, at)?),
        }
    }
    Ok(found)
}

fn known<S>(
    schema: &Schema<S>,
    key: String,
    value: &DeValue<'_>,
    source: Source,
) -> Result<Raw, ConfigError> {
    if schema.key(&key).is_none() {
        let names = schema.keys.iter().map(|key| key.name);
        let near = nearest(&key, names.clone()).and_then(|near| schema.key(near));
        let hint = near.map_or_else(
            || format!("the keys are: {}", names.collect::<Vec<_>>().join(", ")),
            |Key { name, help, .. }| format!("did you mean `{name}`? ({help})"),
        );
        return Err(ConfigError::UnknownKey { source_at: source, key, hint });
    }
    let value = match value {
        DeValue::String(text) => RawValue::Text(text.to_string()),
        DeValue::Boolean(flag) => RawValue::Flag(*flag),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(RawValue::Other("too large a number"), RawValue::Number),
        DeValue::Array(list) => {
            let texts = list.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts
                .collect::<Option<Vec<_>>>()
                .map_or(RawValue::Other("a list of other things than strings"), RawValue::List)
        }
        DeValue::Float(number) => {
            number.as_str().parse().map_or(RawValue::Other("a fraction that is none"), RawValue::Fraction)
        }
        DeValue::Datetime(_) => RawValue::Other("a date"),
        DeValue::Table(_) => RawValue::Other("a table"),
    };
    Ok(Raw { key, value, source })
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The values that the environment gives: the prefix and the key in capitals, `_` for `.`. Lists are separated by
/// commas.
pub(crate) fn read_environment<S>(
    schema: &Schema<S>,
    variables: impl Iterator<Item = (String, String)>,
) -> Vec<Raw> {
    variables
        .filter_map(|(name, value)| {
            let rest = name.strip_prefix(schema.prefix)?.to_lowercase();
            let key = schema.keys.iter().find(|key| key.variable() == rest)?;
            let source = Source::Environment(name);
            Some(Raw { key: key.name.to_owned(), value: RawValue::Text(value), source })
        })
        .collect()
}

/// The variables with the prefix that are no key, each with the nearest that is one.
pub(crate) fn unknown_variables<'n, S>(
    schema: &Schema<S>,
    names: impl Iterator<Item = &'n str>,
) -> Vec<(String, Option<String>)> {
    let prefix = schema.prefix;
    let known: Vec<String> = schema.keys.iter().map(Key::variable).chain(["config".to_owned()]).collect();
    names
        .filter_map(|name| Some((name, name.strip_prefix(prefix)?.to_lowercase())))
        .filter(|(_, rest)| !known.contains(rest))
        .map(|(name, rest)| {
            let near = nearest(&rest, known.iter().map(String::as_str));
            (name.to_owned(), near.map(|near| format!("{prefix}{}", near.to_uppercase())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[derive(Debug, Default)]
    struct Settings {
        level: String,
        levels: BTreeMap<String, String>,
        accel: String,
        interval: Duration,
        simulated: bool,
        bytes: u64,
        dir: std::path::PathBuf,
        allow: Vec<std::path::PathBuf>,
    }

    static SCHEMA: Schema<Settings> = Schema {
        prefix: "DEMO_",
        default_file: "/nowhere/demo.toml",
        sections: &["levels", "qemu"],
        keys: &[
            Key::<Settings>::new(
                "level",
                "",
                |s| s.level.clone(),
                |s, given| {
                    s.level = given.text()?.to_owned();
                    Ok(())
                },
            ),
            Key::<Settings>::new(
                "levels",
                "",
                |s| format!("{:?}", s.levels),
                |s, given| {
                    s.levels.insert(given.rest.to_owned(), given.text()?.to_owned());
                    Ok(())
                },
            )
            .free(),
            Key::<Settings>::new(
                "qemu.accel",
                "",
                |s| s.accel.clone(),
                |s, given| {
                    s.accel = given.text()?.to_owned();
                    Ok(())
                },
            ),
            Key::<Settings>::new(
                "interval",
                "",
                |s| format!("{:?}", s.interval),
                |s, given| {
                    s.interval = given.duration(Duration::from_millis(100))?;
                    Ok(())
                },
            ),
            Key::<Settings>::new(
                "simulated",
                "",
                |s| s.simulated.to_string(),
                |s, given| {
                    s.simulated = given.flag()?;
                    Ok(())
                },
            ),
            Key::<Settings>::new(
                "bytes",
                "how much there is room for",
                |s| s.bytes.to_string(),
                |s, given| {
                    s.bytes = given.number(0, i64::MAX)?;
                    Ok(())
                },
            )
            .live(),
            Key::<Settings>::new(
                "dir",
                "",
                |s| s.dir.display().to_string(),
                |s, given| {
                    s.dir = given.path()?;
                    Ok(())
                },
            ),
            Key::<Settings>::new(
                "allow",
                "",
                |s| format!("{:?}", s.allow),
                |s, given| {
                    s.allow = given.paths()?;
                    Ok(())
                },
            ),
        ],
    };

    fn load(text: &str) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        for raw in parse(&SCHEMA, text, Path::new("/etc/demo.toml"))? {
            SCHEMA.set(&mut settings, &raw)?;
        }
        Ok(settings)
    }

    fn check(text: &str, sentence: &str) {
        let error = load(text).expect_err(text);
        assert!(error.to_string().contains(sentence), "{error}\nwanted: {sentence}");
    }

    #[test]
    fn each_fault_names_its_line_and_the_remedy() {
        check(
            "\nbyte = 1",
            "demo.toml:2: unknown key `byte`; did you mean `bytes`? (how much there is room for)",
        );
        check("level = 3", "demo.toml:1: level: must be a string, not 3");
        check("[qemu]\n\nacel = \"tcg\"", "demo.toml:3: unknown key `qemu.acel`; did you mean `qemu.accel`?");
        check("interval = \"5 parsecs\"", "`5 parsecs` is not a duration; write it like 500ms, 5s, 2m or 7d");
        check("interval = \"1ms\"", "must be at least 100ms");
        check("simulated = \"yes\"", "simulated: must be true or false, not `yes`");
        check("level = ", "demo.toml:1: this is not TOML");
        check("bytes = -1", "bytes: must be a whole number from 0");
        check("dir = \"here\"", "dir: must be an absolute path");
        check("allow = [1]", "must be a list of strings");
    }

    #[test]
    fn tables_of_free_keys_are_read() {
        let settings = load("[levels]\nexecutor = \"debug\"\n[qemu]\naccel = \"tcg\"").unwrap();
        assert_eq!(settings.levels, BTreeMap::from([("executor".to_owned(), "debug".to_owned())]));
        assert_eq!(settings.accel, "tcg");
    }

    #[test]
    fn a_variable_that_is_no_key_is_told_with_the_nearest_that_is() {
        let names = ["DEMO_LEVL", "DEMO_CONFIG", "DEMO_QEMU_ACCEL", "HOME", "DEMO_ZEBRA"];
        let told = unknown_variables(&SCHEMA, names.into_iter());
        let near = Some("DEMO_LEVEL".to_owned());
        assert_eq!(told, [("DEMO_LEVL".to_owned(), near), ("DEMO_ZEBRA".to_owned(), None)]);
    }

    #[test]
    fn a_reload_tells_what_changes_live_and_what_does_not() {
        let (old, new) = (load("bytes = 1").unwrap(), load("bytes = 2\nlevel = \"x\"").unwrap());
        let changes = SCHEMA.changes(&old, &new);
        assert_eq!((changes.live, changes.restart), (vec!["bytes"], vec!["level"]));
    }
}
