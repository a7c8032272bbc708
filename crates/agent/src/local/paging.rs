//! Lists in pages, newest first.

use std::collections::BTreeMap;

use axum::extract::Query;
use nkudo_api::nearest;
use nkudo_api::time::WallTime;
use nkudo_api::view::List;

use super::answer::Refused;

/// Items of a page when the request does not say.
const LIMIT_DEFAULT: usize = 100;
/// Most items of a page.
const LIMIT_MAX: usize = 1_000;

/// The parameters by their names; one that is there twice is refused.
pub(super) fn once(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Refused> {
    let mut values = BTreeMap::new();
    for (name, value) in given {
        if values.insert(name.clone(), value).is_some() {
            return Err(Refused::invalid(&name, "is there twice"));
        }
    }
    Ok(values)
}

/// Refuses a parameter that is not among the known ones.
pub(super) fn known_only(values: &BTreeMap<String, String>, known: &[&str]) -> Result<(), Refused> {
    let Some(name) = values.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    let hint = nearest(name, known.iter().copied()).map_or_else(
        || format!("known here: {}", known.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Refused::invalid(name, format!("is not a known parameter; {hint}")))
}

/// What a request to a list asks for.
pub(crate) struct ListQuery {
    values: BTreeMap<String, String>,
    limit: usize,
    cursor: usize,
}

impl ListQuery {
    /// Reads the query; a parameter that the list does not know is refused.
    pub(crate) fn read(
        Query(values): Query<BTreeMap<String, String>>,
        known: &[&str],
    ) -> Result<Self, Refused> {
        let known: Vec<&str> = known.iter().copied().chain(["limit", "cursor"]).collect();
        known_only(&values, &known)?;
        let number = |name: &str, default: usize, max: usize| match values.get(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().filter(|number| (0..=max).contains(number)).ok_or_else(|| {
                Refused::invalid(name, format!("must be a whole number from 0 to {max}, not `{text}`"))
            }),
        };
        let limit = number("limit", LIMIT_DEFAULT, LIMIT_MAX)?.max(1);
        let cursor = number("cursor", 0, usize::MAX)?;
        Ok(Self { values, limit, cursor })
    }

    /// A parameter in its type.
    pub(crate) fn get<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Refused> {
        let parse =
            |text: &String| text.parse().map_err(|error: T::Err| Refused::invalid(name, error.to_string()));
        self.values.get(name).map(parse).transpose()
    }

    /// A point in time, RFC 3339.
    pub(crate) fn time(&self, name: &str) -> Result<Option<WallTime>, Refused> {
        self.get(name)
    }

    /// The page that was asked for.
    pub(crate) fn page<T>(&self, items: Vec<T>) -> List<T> {
        let end = self.cursor.saturating_add(self.limit);
        let next_cursor = (items.len() > end).then(|| end.to_string());
        List { items: items.into_iter().skip(self.cursor).take(self.limit).collect(), next_cursor }
    }
}
