//! What is done on the data directory, with the server running or not: tokens, keys, tenants.

use std::path::Path;

use nkudo_api::request::TokenRequest;
use nkudo_api::time::WallTime;
use nkudo_api::view::fleet::{KeyCreated, TokenCreated};
use nkudo_domain::{Role, TenantId};
use nkudo_pki::{ApiKey, Authority, EnrolmentToken, Fingerprint, digest};
use nkudo_scribe::{Entry, Place, ScribeError};
use nkudo_store::{KeyRecord, Page, SqliteStore, Store, StoreError, TokenRecord};

use crate::audit;
use crate::data_dir::{DataDir, DataDirError};

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it is done, but it is not in the audit log")]
    NotOnRecord(#[from] ScribeError),
    #[error("the tenant `default` is that of admin.token and cannot be deleted")]
    DefaultTenant,
}

/// The books and the authority of a data directory, made when they were not there.
#[derive(Debug)]
pub struct Admin {
    place: Place,
    store: SqliteStore,
    authority: Authority,
    made: bool,
}

impl Admin {
    /// # Errors
    /// When the directory or the database cannot be used.
    pub async fn open(data_dir: &Path, database_url: Option<&str>) -> Result<Self, AdminError> {
        let dir = DataDir::open(data_dir)?;
        let url = database_url.map_or_else(|| dir.database_url(), str::to_owned);
        let store = SqliteStore::open(&url).await?;
        let (authority, made) = initialise(&dir, &store).await?;
        Ok(Self { place: audit::place(data_dir), store, authority, made })
    }

    /// Whether there was no control plane in the directory, and opening it made one.
    pub fn is_new(&self) -> bool {
        self.made
    }

    /// Makes an enrolment token, with its tenant and its site when there are none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_token(
        &self,
        tenant_id: &TenantId,
        request: &TokenRequest,
    ) -> Result<TokenCreated, AdminError> {
        self.store.create_tenant(tenant_id, nkudo_host::clock::wall_ms()).await?;
        let created = create_token(&self.store, self.authority.fingerprint(), tenant_id, request).await?;
        let entry = done("token.create", tenant_id).field("token_id", created.token_id.clone());
        audit::leave(&self.place, entry.field("site_id", request.site_id.to_string()))?;
        Ok(created)
    }

    /// Makes an API key, with its tenant when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_key(&self, tenant_id: &TenantId, role: Role) -> Result<KeyCreated, AdminError> {
        self.store.create_tenant(tenant_id, nkudo_host::clock::wall_ms()).await?;
        let created = create_key(&self.store, tenant_id, role).await?;
        let entry = done("key.create", tenant_id).field("key_id", created.key_id.clone());
        audit::leave(&self.place, entry.field("role", role.as_str()))?;
        Ok(created)
    }

    /// Makes a tenant; answers whether there was none of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_tenant(&self, tenant_id: &TenantId) -> Result<bool, AdminError> {
        let made = self.store.create_tenant(tenant_id, nkudo_host::clock::wall_ms()).await?;
        if made {
            audit::leave(&self.place, done("tenant.create", tenant_id))?;
        }
        Ok(made)
    }

    /// Deletes a tenant with all that belongs to it; answers whether there was one. A running server lets go of its
    /// agents within seconds.
    ///
    /// # Errors
    /// When it is the tenant `default`, or the database fails.
    pub async fn delete_tenant(&self, tenant_id: &TenantId) -> Result<bool, AdminError> {
        if *tenant_id == TenantId::default() {
            return Err(AdminError::DefaultTenant);
        }
        let deleted = self.store.delete_tenant(tenant_id).await?;
        if deleted {
            audit::leave(&self.place, done("tenant.delete", tenant_id))?;
        }
        Ok(deleted)
    }

    /// Lets go of the database, with everything on disk.
    pub async fn close(self) {
        self.store.close().await;
    }
}

/// A line of what somebody did at the command line.
fn done(operation: &'static str, tenant_id: &TenantId) -> Entry<'static> {
    audit::in_tenant(audit::done("admin", operation, audit::COMMAND_LINE), tenant_id)
}

/// The authority of a data directory, and whether it was made just now; makes it, and an admin's key where there is no
/// key at all, when missing.
pub(crate) async fn initialise(dir: &DataDir, store: &dyn Store) -> Result<(Authority, bool), AdminError> {
    let _initialising = dir.initialising().await?;
    let now_ms = nkudo_host::clock::wall_ms();
    let (authority, made) = match dir.authority()? {
        Some(authority) => (authority, false),
        None if store.standings().await?.is_empty() => (dir.make_authority(now_ms)?, true),
        None => return Err(dir.authority_lost().into()),
    };
    let tenant_id = TenantId::default();
    if store.keys(&tenant_id, &Page::first(1)).await?.items.is_empty() {
        let key = ApiKey::make();
        // The file comes first: a key in the books that nobody has would keep another from being made.
        dir.write_admin_token(&key.reveal())?;
        store.create_tenant(&tenant_id, now_ms).await?;
        store.insert_key(&key_record(&key, &tenant_id, Role::Admin, now_ms)).await?;
        let entry = audit::in_tenant(audit::done("admin", "key.create", "initialisation"), &tenant_id);
        let entry = entry.field("key_id", key.key_id.clone()).field("role", Role::Admin.as_str());
        audit::leave(&audit::place(dir.path()), entry)?;
        tracing::info!("admin token written to admin.token in the data directory");
    }
    Ok((authority, made))
}

/// Makes an enrolment token in a tenant that is there, and its site when there is none.
pub(crate) async fn create_token(
    store: &dyn Store,
    ca: Fingerprint,
    tenant_id: &TenantId,
    request: &TokenRequest,
) -> Result<TokenCreated, StoreError> {
    let now_ms = nkudo_host::clock::wall_ms();
    store.create_site(tenant_id, &request.site_id, now_ms).await?;
    let token = EnrolmentToken::make(ca);
    let lifetime_ms = i64::try_from(request.lifetime.as_millis()).unwrap_or(i64::MAX);
    let record = TokenRecord {
        token_id: token.token_id.clone(),
        tenant_id: tenant_id.clone(),
        site_id: request.site_id.clone(),
        secret_digest: digest(&token.secret),
        uses: request.uses,
        uses_left: request.uses,
        created_at_ms: now_ms,
        expires_at_ms: now_ms.saturating_add(lifetime_ms),
    };
    store.insert_token(&record).await?;
    let expires_at = WallTime(record.expires_at_ms);
    Ok(TokenCreated { token_id: record.token_id, token: token.reveal(), expires_at })
}

/// Makes an API key in a tenant that is there.
pub(crate) async fn create_key(
    store: &dyn Store,
    tenant_id: &TenantId,
    role: Role,
) -> Result<KeyCreated, StoreError> {
    let key = ApiKey::make();
    store.insert_key(&key_record(&key, tenant_id, role, nkudo_host::clock::wall_ms())).await?;
    Ok(KeyCreated { key_id: key.key_id.clone(), key: key.reveal(), role })
}

fn key_record(key: &ApiKey, tenant_id: &TenantId, role: Role, now_ms: i64) -> KeyRecord {
    KeyRecord {
        key_id: key.key_id.clone(),
        tenant_id: tenant_id.clone(),
        role,
        secret_digest: digest(&key.secret),
        created_at_ms: now_ms,
    }
}
