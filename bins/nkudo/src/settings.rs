//! Where the control plane is and what is shown to it: flag over environment over file over default.

use std::mem::discriminant;
use std::path::PathBuf;

use nkudo_settings::{Given, Key, Schema, Source, Sources};
use nkudo_terminal::{Failure, print};
use secrecy::SecretString;

use crate::cli::Global;

/// The prefixes of the other programs' variables, which begin with ours.
const OTHERS: [&str; 2] = ["NKUDO_EDGE_", "NKUDO_CP_"];

/// Every setting of the program, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) server: String,
    pub(crate) credential: Option<Credential>,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { server: "http://127.0.0.1:8080".to_owned(), credential: None, ca_file: None }
    }
}

/// The token, or where it is; and who said so.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    Token(SecretString, Source),
    File(PathBuf),
}

static SCHEMA: Schema<Settings> = Schema {
    prefix: "NKUDO_",
    default_file: "/etc/nkudo/nkudo.toml",
    sections: &[],
    keys: &[
        Key::new(
            "server",
            "where the control plane is",
            |settings| settings.server.clone(),
            |settings, given| {
                settings.server = given.text()?.to_owned();
                Ok(())
            },
        ),
        Key::new("token", "the API token itself", shown_credential, set_token),
        Key::new("token_file", "the file with the API token", shown_credential, set_token_file),
        Key::new(
            "ca_file",
            "the certificate of the control plane's authority, for https",
            |settings| settings.ca_file.as_ref().map_or_else(String::new, |path| path.display().to_string()),
            |settings, given| {
                settings.ca_file = Some(given.path()?);
                Ok(())
            },
        ),
    ],
};

/// A variable that is there and empty is no token.
fn set_token(settings: &mut Settings, given: &Given<'_>) -> Result<(), String> {
    // What was given may be a secret also where it is wrong: it is not repeated.
    let text = given.text().map_err(|_| "must be a string".to_owned())?.trim();
    if !text.is_empty() {
        settings.credential = Some(Credential::Token(SecretString::from(text), given.source.clone()));
    }
    Ok(())
}

/// In one layer the token itself is over the file.
fn set_token_file(settings: &mut Settings, given: &Given<'_>) -> Result<(), String> {
    let path = given.path()?;
    match &settings.credential {
        Some(Credential::Token(_, source)) if discriminant(source) == discriminant(given.source) => {}
        Some(Credential::Token(..) | Credential::File(_)) | None => {
            settings.credential = Some(Credential::File(path));
        }
    }
    Ok(())
}

/// Where the token comes from, and never what it is.
fn shown_credential(settings: &Settings) -> String {
    match &settings.credential {
        None => "none".to_owned(),
        Some(Credential::Token(..)) => "given".to_owned(),
        Some(Credential::File(path)) => path.display().to_string(),
    }
}

/// The settings of this call. Variables that are almost ones of ours are told; others that begin so may be anybody's.
pub(crate) fn load(global: &Global) -> Result<Settings, Failure> {
    let flags = [
        ("server", "server", global.server.clone()),
        ("token_file", "token-file", global.token_file.clone()),
        ("ca_file", "ca-file", global.ca_file.clone()),
    ];
    let variables = environment().filter(|(name, _)| !OTHERS.iter().any(|prefix| name.starts_with(prefix)));
    let sources = Sources::new(&SCHEMA, global.config.clone(), flags, variables);
    for (name, near) in &sources.unknown_variables {
        if let Some(near) = near {
            print::note(&format!("warning: {name} is not a setting; did you mean {near}?"));
        }
    }
    sources.load().map_err(Failure::refused)
}

/// The variables of this process that are text.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
