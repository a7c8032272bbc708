//! One value as it was given, and the ways to read it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::Source;
use crate::raw::RawValue;

const DAY_SECONDS: u64 = 24 * 3600;

/// A value for a key. Each reader says in its error what the value must be.
#[derive(Clone, Copy)]
pub struct Given<'r> {
    pub value: &'r RawValue,
    pub source: &'r Source,
    /// In a table of free keys, the key's own name; else empty.
    pub rest: &'r str,
}

impl std::fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("source", &self.source).finish_non_exhaustive()
    }
}

impl<'r> Given<'r> {
    /// # Errors
    /// When it is no string.
    pub fn text(&self) -> Result<&'r str, String> {
        match self.value {
            RawValue::Text(text) => Ok(text),
            RawValue::Flag(_)
            | RawValue::Number(_)
            | RawValue::Fraction(_)
            | RawValue::List(_)
            | RawValue::Other(_) => Err(format!("must be a string, not {}", shown(self.value))),
        }
    }

    /// A string in its type.
    ///
    /// # Errors
    /// When it is none, or not of the type.
    pub fn word<T: FromStr<Err: std::fmt::Display>>(&self) -> Result<T, String> {
        self.text()?.parse().map_err(|error: T::Err| error.to_string())
    }

    /// # Errors
    /// When it is neither true nor false.
    pub fn flag(&self) -> Result<bool, String> {
        match self.value {
            RawValue::Flag(flag) => Ok(*flag),
            RawValue::Text(text) if text == "true" => Ok(true),
            RawValue::Text(text) if text == "false" => Ok(false),
            RawValue::Text(_)
            | RawValue::Number(_)
            | RawValue::Fraction(_)
            | RawValue::List(_)
            | RawValue::Other(_) => Err(format!("must be true or false, not {}", shown(self.value))),
        }
    }

    /// A whole number from `min` to `max`; `min` is not negative.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, min: i64, max: i64) -> Result<u64, String> {
        let number = match self.value {
            RawValue::Number(number) => Some(*number),
            RawValue::Text(text) => text.parse().ok(),
            RawValue::Flag(_) | RawValue::Fraction(_) | RawValue::List(_) | RawValue::Other(_) => None,
        };
        number
            .filter(|number| (min..=max).contains(number))
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| format!("must be a whole number from {min} to {max}, not {}", shown(self.value)))
    }

    /// A share, from 0 to 1.
    ///
    /// # Errors
    /// When it is none.
    pub fn share(&self) -> Result<f64, String> {
        let share = match self.value {
            RawValue::Number(0) => Some(0.0),
            RawValue::Number(1) => Some(1.0),
            RawValue::Fraction(share) => Some(*share),
            RawValue::Text(text) => text.parse().ok(),
            RawValue::Number(_) | RawValue::Flag(_) | RawValue::List(_) | RawValue::Other(_) => None,
        };
        share
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| format!("must be a number from 0 to 1, not {}", shown(self.value)))
    }

    /// A duration with its unit.
    ///
    /// # Errors
    /// When it is none, or shorter than `least`.
    pub fn duration(&self, least: Duration) -> Result<Duration, String> {
        let text = self.text()?;
        let wrong = || format!("`{text}` is not a duration; write it like 500ms, 5s, 2m or 7d");
        let duration = match text.strip_suffix('d') {
            Some(days) => {
                let days: u32 = days.trim().parse().map_err(|_| wrong())?;
                Duration::from_secs(u64::from(days) * DAY_SECONDS)
            }
            None => {
                let parsed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
                Duration::try_from(parsed).map_err(|_| wrong())?
            }
        };
        if duration < least { Err(format!("must be at least {}", in_units(least))) } else { Ok(duration) }
    }

    /// A path; from a file it is absolute, from the command line or the environment it counts from where the user
    /// stands.
    ///
    /// # Errors
    /// When it is none.
    pub fn path(&self) -> Result<PathBuf, String> {
        let text = self.text()?;
        match self.source {
            Source::File { .. } => absolute(text),
            Source::Flag(_) | Source::Environment(_) => {
                std::path::absolute(text).map_err(|error| format!("`{text}` is not a path: {error}"))
            }
        }
    }

    /// Strings; in one text they are separated by commas.
    ///
    /// # Errors
    /// When it is no list of strings.
    pub fn texts(&self) -> Result<Vec<String>, String> {
        match self.value {
            RawValue::List(list) => Ok(list.clone()),
            RawValue::Text(text) => {
                Ok(text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
            RawValue::Flag(_) | RawValue::Number(_) | RawValue::Fraction(_) | RawValue::Other(_) => {
                Err(format!("must be a list of strings, not {}", shown(self.value)))
            }
        }
    }

    /// Absolute paths; in one text they are separated by commas.
    ///
    /// # Errors
    /// When it is no list of absolute paths.
    pub fn paths(&self) -> Result<Vec<PathBuf>, String> {
        self.texts()?.iter().map(|item| absolute(item)).collect()
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("must be an absolute path, not `{text}`")) }
}

fn shown(value: &RawValue) -> String {
    match value {
        RawValue::Text(text) => format!("`{}`", text.chars().take(64).collect::<String>()),
        RawValue::Flag(flag) => flag.to_string(),
        RawValue::Number(number) => number.to_string(),
        RawValue::List(_) => "a list".to_owned(),
        RawValue::Fraction(number) => number.to_string(),
        RawValue::Other(what) => (*what).to_owned(),
    }
}

/// A duration in the largest unit that it is whole in.
fn in_units(duration: Duration) -> String {
    let (ms, seconds) = (duration.as_millis(), duration.as_secs());
    if ms % 1_000 != 0 {
        format!("{ms}ms")
    } else if seconds % 3_600 == 0 && seconds > 0 {
        format!("{}h", seconds / 3_600)
    } else {
        format!("{seconds}s")
    }
}
