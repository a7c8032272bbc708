//! Values as they were given, before anybody knows whether they are right.

use std::path::Path;

use nkudo_api::nearest;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Source};
use super::keys::{KEYS, SECTIONS};

/// One value for one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// The key's name with its section: `qemu.accel`; for a table of free keys the rest follows: `log_components.x`.
    pub key: String,
    pub value: RawValue,
    pub source: Source,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RawValue {
    Text(String),
    Flag(bool),
    Number(i64),
    List(Vec<String>),
    /// A value of a type that no key has, by its name.
    Other(&'static str),
}

/// The values of a configuration file, with their lines. Unknown keys are refused here.
pub fn read_file(path: &Path) -> Result<Vec<Raw>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), detail: error.to_string() })?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Vec<Raw>, ConfigError> {
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
            DeValue::Table(section) if SECTIONS.contains(&name) => {
                for (inner, value) in section {
                    let at = source(inner.span().start);
                    found.push(known(format!("{name}.{}", inner.get_ref()), value.get_ref(), at)?);
                }
            }
            value => found.push(known(name.to_owned(), value, at)?),
        }
    }
    Ok(found)
}

fn known(key: String, value: &DeValue<'_>, source: Source) -> Result<Raw, ConfigError> {
    if !KEYS.iter().any(|known| known.names(&key)) {
        let names = KEYS.iter().map(|key| key.name);
        let hint = nearest(&key, names.clone()).map_or_else(
            || format!("the keys are: {}", names.collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
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
        DeValue::Float(_) => RawValue::Other("a fraction"),
        DeValue::Datetime(_) => RawValue::Other("a date"),
        DeValue::Table(_) => RawValue::Other("a table"),
    };
    Ok(Raw { key, value, source })
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The values that the environment gives: `NKUDO_EDGE_` and the key in capitals, `_` for `.`. Lists are separated
/// by commas.
pub fn read_environment(prefix: &str, variables: impl Iterator<Item = (String, String)>) -> Vec<Raw> {
    variables
        .filter_map(|(name, value)| {
            let rest = name.strip_prefix(prefix)?.to_lowercase();
            let key = KEYS.iter().find(|key| key.variable() == rest)?;
            let source = Source::Environment(name);
            Some(Raw { key: key.name.to_owned(), value: RawValue::Text(value), source })
        })
        .collect()
}

/// The variables with the prefix that are no key of the agent, each with the nearest that is one. They may be meant for
/// another version of it, so they are told and not refused.
pub fn unknown_variables<'n>(
    prefix: &str,
    names: impl Iterator<Item = &'n str>,
) -> Vec<(String, Option<String>)> {
    let known: Vec<String> = KEYS.iter().map(super::Key::variable).chain(["config".to_owned()]).collect();
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
    use super::*;

    fn check(text: &str, sentence: &str) {
        let error = parse(text, Path::new("/etc/nkudo/edge-agent.toml"))
            .and_then(|raws| crate::config::Settings::from_layers(&raws).map(drop))
            .expect_err(text);
        assert!(error.to_string().contains(sentence), "{error}\nwanted: {sentence}");
    }

    #[test]
    fn each_fault_names_its_line_and_the_remedy() {
        check(
            "\nlog_levle = \"info\"",
            "edge-agent.toml:2: unknown key `log_levle`; did you mean `log_level`?",
        );
        check("log_level = \"loud\"", "edge-agent.toml:1: log_level: `loud` is not");
        check("log_level = 3", "log_level: must be a string, not 3");
        check(
            "[qemu]\n\nacel = \"tcg\"",
            "edge-agent.toml:3: unknown key `qemu.acel`; did you mean `qemu.accel`?",
        );
        check("[qemu]\naccel = \"turbo\"", "auto, kvm, tcg");
        check(
            "sample_interval = \"5 parsecs\"",
            "sample_interval: `5 parsecs` is not a duration; write it like 500ms, 5s or 2m",
        );
        check("metrics_addr = \"nowhere\"", "metrics_addr:");
        check("providers.simulated = \"yes\"", "providers.simulated: must be true or false, not `yes`");
        check("log_level = ", "edge-agent.toml:1: this is not TOML");
        check("[check]\nmin_disk_bytes = -1", "min_disk_bytes: must be a whole number from 0");
        check("state_dir = \"here\"", "state_dir: must be an absolute path");
        check("[commands]\nallow = [1]", "must be a list of strings");
    }

    #[test]
    fn a_variable_that_is_no_key_is_told_with_the_nearest_that_is() {
        let names =
            ["NKUDO_EDGE_LOG_LEVL", "NKUDO_EDGE_CONFIG", "NKUDO_EDGE_QEMU_ACCEL", "HOME", "NKUDO_EDGE_ZEBRA"];
        let told = unknown_variables("NKUDO_EDGE_", names.into_iter());
        let near = Some("NKUDO_EDGE_LOG_LEVEL".to_owned());
        assert_eq!(told, [("NKUDO_EDGE_LOG_LEVL".to_owned(), near), ("NKUDO_EDGE_ZEBRA".to_owned(), None)]);
    }

    #[test]
    fn later_layers_win() {
        let file = parse("log_level = \"warn\"\n[qemu]\naccel = \"tcg\"", Path::new("f")).unwrap();
        let variables =
            [("NKUDO_EDGE_LOG_LEVEL", "error"), ("NKUDO_EDGE_QEMU_ACCEL", "kvm"), ("HOME", "/root")];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = read_environment("NKUDO_EDGE_", variables);
        let flag = Raw {
            key: "log_level".to_owned(),
            value: RawValue::Text("debug".to_owned()),
            source: Source::Flag("log-level"),
        };
        let settings =
            crate::config::Settings::from_layers(file.iter().chain(&environment).chain([&flag])).unwrap();
        assert_eq!(settings.log_level, nkudo_logging::LogLevel::Debug);
        assert_eq!(settings.qemu_accel, nkudo_providers::qemu::Accel::Kvm);
    }
}
