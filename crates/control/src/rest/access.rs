//! Who may come in: enrolment tokens, API keys, sites, the tenant.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use nkudo_api::Problem;
use nkudo_api::request::{KeyRequest, SiteRequest, TokenRequest};
use nkudo_api::time::WallTime;
use nkudo_api::view::List;
use nkudo_api::view::fleet::{KeyView, SiteView, TenantView, TokenView};
use nkudo_domain::SiteId;
use nkudo_store::{SiteDeleted, SiteRecord, StoreError};

use super::answer::{self, Answered, Refused};
use super::routes::Call;
use crate::admin;

pub(super) async fn tokens(call: Call) -> Answered {
    let listed = call.control.store.tokens(&call.principal()?.tenant_id, &call.params.page()?).await?;
    let items: Vec<TokenView> = listed
        .items
        .into_iter()
        .map(|token| TokenView {
            token_id: token.token_id,
            site_id: token.site_id,
            uses: token.uses,
            uses_left: token.uses_left,
            created_at: WallTime(token.created_at_ms),
            expires_at: WallTime(token.expires_at_ms),
        })
        .collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: listed.next_cursor })
}

pub(super) async fn create_token(call: Call) -> Answered {
    let body = answer::parsed(&call.body)?;
    let request = TokenRequest::parse(&body).map_err(|errors| Refused(Problem::invalid(errors)))?;
    let principal = call.principal()?;
    call.control.audit.room()?;
    let (store, ca) = (call.control.store.as_ref(), call.control.authority.fingerprint());
    let created = admin::create_token(store, ca, &principal.tenant_id, &request).await?;
    tracing::info!(token_id = created.token_id, site_id = %request.site_id, by = %principal, "enrolment token made");
    on_record(&call, "token.create", ("token_id", created.token_id.clone())).await?;
    answer::json(StatusCode::CREATED, &created)
}

pub(super) async fn delete_token(call: Call) -> Answered {
    let token_id: String = call.params.require("token_id")?;
    let principal = call.principal()?;
    if !call.control.store.delete_token(&principal.tenant_id, &token_id).await? {
        return Err(Refused::not_found(format!("there is no enrolment token {token_id}")));
    }
    tracing::info!(token_id, by = %principal, "enrolment token deleted");
    on_record(&call, "token.delete", ("token_id", token_id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What the caller did is on record before they are told.
async fn on_record(
    call: &Call,
    operation: &'static str,
    what: (&'static str, String),
) -> Result<(), Refused> {
    let principal = call.principal()?;
    call.control.audit.done_by_key(operation, &principal.key_id, &principal.tenant_id, what).await;
    Ok(())
}

pub(super) async fn keys(call: Call) -> Answered {
    let listed = call.control.store.keys(&call.principal()?.tenant_id, &call.params.page()?).await?;
    let items: Vec<KeyView> = listed
        .items
        .into_iter()
        .map(|key| KeyView { key_id: key.key_id, role: key.role, created_at: WallTime(key.created_at_ms) })
        .collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: listed.next_cursor })
}

pub(super) async fn create_key(call: Call) -> Answered {
    let body = answer::parsed(&call.body)?;
    let KeyRequest { role } = KeyRequest::parse(&body).map_err(|errors| Refused(Problem::invalid(errors)))?;
    let principal = call.principal()?;
    call.control.audit.room()?;
    let created = admin::create_key(call.control.store.as_ref(), &principal.tenant_id, role).await?;
    tracing::info!(key_id = created.key_id, role = role.as_str(), by = %principal, "API key made");
    on_record(&call, "key.create", ("key_id", created.key_id.clone())).await?;
    answer::json(StatusCode::CREATED, &created)
}

pub(super) async fn delete_key(call: Call) -> Answered {
    let key_id: String = call.params.require("key_id")?;
    let principal = call.principal()?;
    if !call.control.store.delete_key(&principal.tenant_id, &key_id).await? {
        return Err(Refused::not_found(format!("there is no API key {key_id}")));
    }
    tracing::info!(key_id, by = %principal, "API key deleted");
    on_record(&call, "key.delete", ("key_id", key_id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn sites(call: Call) -> Answered {
    let listed = call.control.store.sites(&call.principal()?.tenant_id, &call.params.page()?).await?;
    let items: Vec<SiteView> = listed
        .items
        .into_iter()
        .map(|site| SiteView { site_id: site.site_id, created_at: WallTime(site.created_at_ms) })
        .collect();
    answer::json(StatusCode::OK, &List { items, next_cursor: listed.next_cursor })
}

pub(super) async fn create_site(call: Call) -> Answered {
    let body = answer::parsed(&call.body)?;
    let SiteRequest { site_id } =
        SiteRequest::parse(&body).map_err(|errors| Refused(Problem::invalid(errors)))?;
    let tenant_id = &call.principal()?.tenant_id;
    call.control.audit.room()?;
    let now_ms = nkudo_host::clock::wall_ms();
    let SiteRecord { site_id, created_at_ms } =
        call.control.store.create_site(tenant_id, &site_id, now_ms).await?;
    on_record(&call, "site.create", ("site_id", site_id.to_string())).await?;
    answer::json(StatusCode::CREATED, &SiteView { site_id, created_at: WallTime(created_at_ms) })
}

pub(super) async fn delete_site(call: Call) -> Answered {
    let site_id: SiteId = call.params.require("site_id")?;
    let tenant_id = &call.principal()?.tenant_id;
    match call.control.store.delete_site(tenant_id, &site_id, nkudo_host::clock::wall_ms()).await? {
        SiteDeleted::Done => {
            on_record(&call, "site.delete", ("site_id", site_id.to_string())).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        SiteDeleted::Absent => Err(Refused::not_found(format!("there is no site {site_id}"))),
        SiteDeleted::InUse => {
            let detail = format!("site {site_id} has agents or tokens; unenrol and delete those first");
            Err(Refused::new(StatusCode::CONFLICT, detail))
        }
    }
}

pub(super) async fn tenants(call: Call) -> Answered {
    // There is one page, and nothing after it.
    if call.params.page()?.cursor.is_some() {
        return Err(StoreError::Cursor.into());
    }
    let tenant_id = call.principal()?.tenant_id.clone();
    answer::json(StatusCode::OK, &List::whole(vec![TenantView { tenant_id }]))
}
