//! What each command does.

use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::Shell;
use nkudo_api::request::{TOKEN_LIFETIME_SECONDS_MAX, TokenRequest};
use nkudo_api::view::VersionView;
use nkudo_control::admin::{Admin, AdminError};
use nkudo_control::config::{Settings, Sources};
use nkudo_control::server::{self, Version};
use nkudo_domain::{SiteId, TenantId};
use nkudo_terminal::audit::audit;
use nkudo_terminal::{Failure, Output, print};
use serde_json::json;

use crate::cli::{Cli, Command, Key, Tenant, Token};

pub(crate) async fn dispatch(cli: Cli, sources: Sources, settings: Settings) -> Result<(), Failure> {
    let output = cli.output;
    match cli.command {
        Command::Serve => serve(sources, settings).await,
        Command::Token(Token::Create { site, tenant, ttl, uses }) => {
            let lifetime = lifetime(&ttl)?;
            create_token(&settings, &tenant, TokenRequest { site_id: site, lifetime, uses }, output).await
        }
        Command::Key(Key::Create { role, tenant }) => {
            let admin = open(&settings).await?;
            let created = admin.create_key(&tenant, role).await.map_err(Failure::failed)?;
            admin.close().await;
            match output {
                Output::Json => print::json(&created),
                Output::Text => {
                    let (key_id, key) = (&created.key_id, &created.key);
                    print::line(&format!(
                        "Key ID: {key_id}\nRole:   {role}\nKey:    {key}\nIt is not shown again."
                    ))
                }
            }
        }
        Command::Tenant(Tenant::Create { name }) => create_tenant(&settings, &name, output).await,
        Command::Tenant(Tenant::Delete { name }) => delete_tenant(&settings, &name, output).await,
        Command::Audit(flags) => audit(&nkudo_control::audit::place(&settings.data_dir), flags, output),
        Command::Version => version(output),
        Command::Completions { shell } => completions(shell),
    }
}

async fn serve(sources: Sources, settings: Settings) -> Result<(), Failure> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("NKUDO_COMMIT"),
        profile: env!("NKUDO_PROFILE"),
    };
    let Err(error) = Box::pin(server::run(sources, settings, version)).await else { return Ok(()) };
    if tracing::dispatcher::has_been_set() {
        // The log has its own form, and nothing else belongs between its lines.
        tracing::error!(error = &error as &dyn std::error::Error, "the control plane ends");
        Err(Failure::NotFine)
    } else {
        Err(Failure::failed(error))
    }
}

async fn open(settings: &Settings) -> Result<Admin, Failure> {
    let admin =
        Admin::open(&settings.data_dir, settings.database_url.as_deref()).await.map_err(Failure::failed)?;
    if admin.is_new() {
        // A mistyped directory would else be found out by the first agent that is refused.
        print::note(&format!(
            "control-plane: there was no control plane in {}; a new one was made, with an authority of its own",
            settings.data_dir.display()
        ));
    }
    Ok(admin)
}

async fn create_token(
    settings: &Settings,
    tenant: &TenantId,
    request: TokenRequest,
    output: Output,
) -> Result<(), Failure> {
    let admin = open(settings).await?;
    let created = admin.create_token(tenant, &request).await.map_err(Failure::failed)?;
    admin.close().await;
    match output {
        Output::Json => print::json(&created),
        Output::Text => {
            let site: &SiteId = &request.site_id;
            print::line(&format!(
                "Token ID: {}\nTenant:   {tenant}\nSite:     {site}\nUses:     {}\nExpires:  {} UTC\nToken:    {}\n\
                 It is not shown again. On the host: edge-agent enroll --control-plane https://HOST:8443 --token TOKEN",
                created.token_id, request.uses, created.expires_at, created.token
            ))
        }
    }
}

/// How long a token is good, as people write it.
fn lifetime(text: &str) -> Result<Duration, Failure> {
    let refused = |detail: &str| Failure::Refused(format!("--ttl: `{text}` {detail}"));
    let seconds = nkudo_api::time::seconds(text)
        .ok_or_else(|| refused("is not a duration; write it like 30m, 1h or 7d"))?;
    if !(1..=TOKEN_LIFETIME_SECONDS_MAX).contains(&seconds) {
        return Err(refused("is not between 1 second and 30 days"));
    }
    Ok(Duration::from_secs(seconds))
}

async fn create_tenant(settings: &Settings, name: &TenantId, output: Output) -> Result<(), Failure> {
    let admin = open(settings).await?;
    let made = admin.create_tenant(name).await.map_err(Failure::failed)?;
    admin.close().await;
    match output {
        Output::Json => print::json(&json!({"tenant_id": name, "created": made})),
        Output::Text if made => print::line(&format!("The tenant {name} is made.")),
        Output::Text => print::line(&format!("The tenant {name} is there already.")),
    }
}

async fn delete_tenant(settings: &Settings, name: &TenantId, output: Output) -> Result<(), Failure> {
    let admin = open(settings).await?;
    let deleted = admin.delete_tenant(name).await.map_err(|error| match error {
        AdminError::DefaultTenant => Failure::refused(error),
        AdminError::DataDir(_) | AdminError::Store(_) | AdminError::NotOnRecord(_) => Failure::failed(error),
    })?;
    admin.close().await;
    if !deleted {
        return Err(Failure::Failed(format!("there is no tenant {name}")));
    }
    match output {
        Output::Json => print::json(&json!({"tenant_id": name, "deleted": true})),
        Output::Text => print::line(&format!("The tenant {name} is deleted with all that belonged to it.")),
    }
}

pub(crate) fn version(output: Output) -> Result<(), Failure> {
    let view = VersionView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("NKUDO_COMMIT").to_owned(),
        profile: env!("NKUDO_PROFILE").to_owned(),
    };
    match output {
        Output::Json => print::json(&view),
        Output::Text => print::line(&format!(
            "control-plane {} (commit {}, {} build)",
            view.version, view.commit, view.profile
        )),
    }
}

pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "control-plane", &mut script);
    print::painted(String::from_utf8_lossy(&script).trim_end())
}
