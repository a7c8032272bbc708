//! The parameters of a request's path and query, each declared with its type.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;
use nkudo_api::nearest;
use nkudo_api::time::WallTime;
use nkudo_store::Page;

use super::answer::Refused;

/// Items of a page when the request does not say.
const LIMIT_DEFAULT: u32 = 100;
/// Most items of a page.
pub(super) const LIMIT_MAX: u32 = 1_000;
/// Longest value, in bytes.
const VALUE_MAX_BYTES: usize = 1_024;

/// A parameter of a route, as the OpenAPI document has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Param {
    pub(super) name: &'static str,
    /// Its schema among the components of the document.
    pub(super) schema: &'static str,
    pub(super) help: &'static str,
}

/// The values of a request's path and query.
#[derive(Debug)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads the query after the path's values; a parameter that the route does not know is refused.
    pub(super) fn read(
        path: impl Iterator<Item = (String, String)>,
        uri: &Uri,
        known: &[Param],
        paged: bool,
    ) -> Result<Self, Refused> {
        let mut values: BTreeMap<String, String> = path.collect();
        let paging: &[&str] = if paged { &["limit", "cursor"] } else { &[] };
        let names: Vec<&str> = known.iter().map(|param| param.name).chain(paging.iter().copied()).collect();
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Refused::invalid("", format!("the query cannot be read: {error}")))?;
        for (name, value) in pairs {
            if !names.contains(&name.as_str()) {
                let shown: String = name.chars().take(64).collect();
                let hint = match nearest(&name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if names.is_empty() => "this path takes none".to_owned(),
                    None => format!("known here: {}", names.join(", ")),
                };
                return Err(Refused::invalid(&shown, format!("is not a known parameter; {hint}")));
            }
            if value.len() > VALUE_MAX_BYTES {
                return Err(Refused::invalid(&name, format!("is longer than {VALUE_MAX_BYTES} bytes")));
            }
            if values.insert(name.clone(), value).is_some() {
                return Err(Refused::invalid(&name, "is there twice"));
            }
        }
        Ok(Self(values))
    }

    /// Those that are in the request.
    pub(super) fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// A parameter in its type.
    pub(super) fn get<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Refused> {
        let parse =
            |text: &String| text.parse().map_err(|error: T::Err| Refused::invalid(name, error.to_string()));
        self.0.get(name).map(parse).transpose()
    }

    /// A parameter as it came.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter of the path, which is always there.
    pub(super) fn require<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, Refused> {
        self.get(name)?.ok_or_else(|| Refused::invalid(name, "is required"))
    }

    /// A point in time, RFC 3339, in Unix milliseconds.
    pub(super) fn time_ms(&self, name: &str) -> Result<Option<i64>, Refused> {
        Ok(self.get::<WallTime>(name)?.map(|time| time.0))
    }

    /// The page that was asked for.
    pub(super) fn page(&self) -> Result<Page, Refused> {
        let limit = match self.0.get("limit") {
            None => LIMIT_DEFAULT,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
                    Refused::invalid(
                        "limit",
                        format!("must be a whole number from 1 to {LIMIT_MAX}, not `{text}`"),
                    )
                })?
            }
        };
        Ok(Page { limit, cursor: self.0.get("cursor").cloned() })
    }
}
