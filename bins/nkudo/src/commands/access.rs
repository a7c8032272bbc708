//! `tokens`, `keys` and `sites`.

use nkudo_api::view::fleet::{KeyCreated, KeyView, SiteView, TokenCreated, TokenView};
use nkudo_terminal::{Failure, Output, print};
use serde_json::{Value, json};

use crate::cli::{KeyCommand, Keys, SiteCommand, Sites, TokenCommand, Tokens};
use crate::list::{self, Row, unexpected};
use crate::query::Query;
use crate::session::Session;

const TOKENS: &str = "/v1/enrollment-tokens";
const KEYS: &str = "/v1/keys";
const SITES: &str = "/v1/sites";

pub(crate) async fn tokens(session: &Session, tokens: Tokens) -> Result<(), Failure> {
    let listing = match tokens.command {
        None => tokens.listing,
        Some(TokenCommand::List(listing)) => listing,
        Some(TokenCommand::Create { site, ttl, uses }) => {
            let mut body = json!({ "site_id": site, "ttl_seconds": ttl, "uses": uses });
            if let Some(body) = body.as_object_mut() {
                body.retain(|_, value| !value.is_null());
            }
            let created = session.post(&Query::new(TOKENS), &body).await?;
            return match session.output {
                Output::Json => print::json(&created),
                Output::Text => {
                    let TokenCreated { token_id, token, expires_at } = read(created)?;
                    print::line(&format!("Token ID: {token_id}\nExpires:  {expires_at}\nToken:    {token}"))?;
                    print::note(
                        "the token is shown only now; enrol a host with: edge-agent enroll --control-plane URL --token TOKEN",
                    );
                    Ok(())
                }
            };
        }
        Some(TokenCommand::Delete { token_id }) => {
            return delete(session, TOKENS, "token", &token_id).await;
        }
    };
    list::run::<TokenRow>(session, &Query::new(TOKENS), &listing).await
}

pub(crate) async fn keys(session: &Session, keys: Keys) -> Result<(), Failure> {
    let listing = match keys.command {
        None => keys.listing,
        Some(KeyCommand::List(listing)) => listing,
        Some(KeyCommand::Create { role }) => {
            let created = session.post(&Query::new(KEYS), &json!({ "role": role })).await?;
            return match session.output {
                Output::Json => print::json(&created),
                Output::Text => {
                    let KeyCreated { key_id, key, role } = read(created)?;
                    print::line(&format!("Key ID: {key_id}\nRole:   {role}\nKey:    {key}"))?;
                    print::note("the key is shown only now");
                    Ok(())
                }
            };
        }
        Some(KeyCommand::Delete { key_id }) => return delete(session, KEYS, "key", &key_id).await,
    };
    list::run::<KeyRow>(session, &Query::new(KEYS), &listing).await
}

pub(crate) async fn sites(session: &Session, sites: Sites) -> Result<(), Failure> {
    let listing = match sites.command {
        None => sites.listing,
        Some(SiteCommand::List(listing)) => listing,
        Some(SiteCommand::Create { site_id }) => {
            let created = session.post(&Query::new(SITES), &json!({ "site_id": site_id })).await?;
            return list::one::<SiteRow>(session.output, &created);
        }
        Some(SiteCommand::Delete { site_id }) => {
            return delete(session, SITES, "site", site_id.as_str()).await;
        }
    };
    list::run::<SiteRow>(session, &Query::new(SITES), &listing).await
}

async fn delete(session: &Session, path: &str, what: &str, id: &str) -> Result<(), Failure> {
    session.delete(&Query::new(path).segment(&id)).await?;
    match session.output {
        Output::Json => print::json(&json!({ (format!("{what}_id")): id, "deleted": true })),
        Output::Text => print::line(&format!("{what} {id} is deleted")),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(unexpected)
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct TokenRow(TokenView);

impl Row for TokenRow {
    const HEADINGS: &'static [&'static str] =
        &["token id", "site", "uses left", "uses", "created", "expires"];
    const NONE: &'static str = "no enrolment tokens";

    fn cells(&self) -> Vec<String> {
        let Self(token) = self;
        vec![
            token.token_id.clone(),
            token.site_id.to_string(),
            token.uses_left.to_string(),
            token.uses.to_string(),
            token.created_at.to_string(),
            token.expires_at.to_string(),
        ]
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct KeyRow(KeyView);

impl Row for KeyRow {
    const HEADINGS: &'static [&'static str] = &["key id", "role", "created"];
    const NONE: &'static str = "no keys";

    fn cells(&self) -> Vec<String> {
        let Self(key) = self;
        vec![key.key_id.clone(), key.role.to_string(), key.created_at.to_string()]
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct SiteRow(SiteView);

impl Row for SiteRow {
    const HEADINGS: &'static [&'static str] = &["site", "created"];
    const NONE: &'static str = "no sites";

    fn cells(&self) -> Vec<String> {
        let Self(site) = self;
        vec![site.site_id.to_string(), site.created_at.to_string()]
    }
}
