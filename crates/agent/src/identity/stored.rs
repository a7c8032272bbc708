//! The identity on disk.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use nkudo_domain::{AgentId, SiteId, TenantId};
use nkudo_host::file::{sync_dir, write_private};
use nkudo_host::lock::LockedFile;
use nkudo_logging::{Cursor, QueryError, SearchError};
use nkudo_pki::{CertificateFacts, PkiError, PrivateKey, certificate_facts, matches};
use nkudo_rpc::Target;
use nkudo_rpc::message::NewCertificate;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

const DIR: &str = "identity";
const CURRENT: &str = "current";
/// The link's name until it takes the place of the one in force.
pub(crate) const NEXT: &str = "current.new";
const LOCK: &str = "lock";
const KEY: &str = "agent.key";
const CERTIFICATE: &str = "agent.pem";
const CA: &str = "ca.pem";
const NAMES: &str = "identity.json";
/// What an identity is made of.
pub(crate) const FILES: &[&str] = &[KEY, CERTIFICATE, CA, NAMES];

/// Why the identity cannot be read or written. The sentence names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    #[error("{} cannot be read or written; look at its owner, its mode and the free space", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is damaged ({detail}); enrol this host again with --force", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("the credentials in {} are damaged; enrol this host again with --force", path.display())]
    Credentials { path: PathBuf, source: PkiError },
    #[error(
        "the log of this host cannot be read, so that what it has of its former fleet could not be kept from the new one"
    )]
    Log(#[from] SearchError),
    #[error("another program changes the identity of this host at this moment; try again")]
    Busy,
}

/// An enrolled host.
#[derive(Debug, Clone)]
pub struct Identity {
    pub tenant_id: TenantId,
    pub site_id: SiteId,
    pub agent_id: AgentId,
    pub control_plane: Target,
    pub certificate_pem: String,
    pub ca_pem: String,
    pub key: PrivateKey,
    pub certificate: CertificateFacts,
    /// What the log has before this place is of the time before the enrolment. None where an earlier version enrolled.
    pub(crate) log_from: Option<Cursor>,
    /// Which of the identities on disk it is.
    generation: PathBuf,
}

impl Identity {
    /// What tells it from others, for the audit log.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("agent_id", self.agent_id.to_string()),
            ("tenant_id", self.tenant_id.to_string()),
            ("site_id", self.site_id.to_string()),
            ("control_plane", self.control_plane.to_string()),
            ("serial", self.certificate.serial.clone()),
        ]
    }
}

/// `identity.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Names {
    tenant_id: TenantId,
    site_id: SiteId,
    agent_id: AgentId,
    control_plane: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_from: Option<String>,
}

/// What an identity is made of, but for its certificate.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) tenant_id: TenantId,
    pub(super) site_id: SiteId,
    pub(super) agent_id: AgentId,
    pub(super) control_plane: Target,
    pub(super) key: PrivateKey,
    pub(super) log_from: Option<Cursor>,
}

/// The directory of identities of a state directory.
#[derive(Debug, Clone)]
pub struct IdentityDir(PathBuf);

impl IdentityDir {
    pub fn of(state_dir: &Path) -> Self {
        Self(state_dir.join(DIR))
    }

    /// Which identity is in force, without reading it; none when the host is not enrolled.
    pub fn generation(&self) -> Option<PathBuf> {
        fs::read_link(self.0.join(CURRENT)).ok()
    }

    /// The identity in force; none when the host is not enrolled.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn load(&self) -> Result<Option<Identity>, StoredError> {
        let Some(generation) = self.generation() else { return Ok(None) };
        let dir = self.0.join(&generation);
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|source| StoredError::File { path, source })
        };
        let damaged = |name: &str, detail: String| StoredError::Damaged { path: dir.join(name), detail };
        let names: Names =
            serde_json::from_str(&read(NAMES)?).map_err(|error| damaged(NAMES, error.to_string()))?;
        let credentials = |source| StoredError::Credentials { path: dir.clone(), source };
        let key_pem = SecretString::from(read(KEY)?);
        let key = PrivateKey::from_pem(key_pem.expose_secret()).map_err(credentials)?;
        let (certificate_pem, ca_pem) = (read(CERTIFICATE)?, read(CA)?);
        let certificate = certificate_facts(&certificate_pem).map_err(credentials)?;
        if !matches(&certificate_pem, &key).map_err(credentials)? {
            return Err(StoredError::Credentials { path: dir.clone(), source: PkiError::KeyOfAnother });
        }
        let control_plane = names.control_plane.parse().map_err(|detail| damaged(NAMES, detail))?;
        let Names { tenant_id, site_id, agent_id, control_plane: _, log_from } = names;
        let log_from = log_from.map(|text| text.parse()).transpose();
        let log_from = log_from.map_err(|error: QueryError| damaged(NAMES, error.to_string()))?;
        Ok(Some(Identity {
            tenant_id,
            site_id,
            agent_id,
            control_plane,
            certificate_pem,
            ca_pem,
            key,
            certificate,
            log_from,
            generation,
        }))
    }

    /// Takes the right to change the identity; held until it is dropped.
    pub(super) fn lock(&self) -> Result<LockedFile, StoredError> {
        self.make(&self.0)?;
        let path = self.0.join(LOCK);
        let locked = LockedFile::try_exclusive(&path).map_err(|source| StoredError::File { path, source })?;
        locked.ok_or(StoredError::Busy)
    }

    /// Puts an identity in force. Call with the lock held.
    pub(super) fn save(&self, made: &Made, certificate: &NewCertificate) -> Result<(), StoredError> {
        let Made { tenant_id, site_id, agent_id, control_plane, key, log_from } = made;
        let former = self.generation();
        let name = self.free_name();
        let dir = self.0.join(&name);
        self.make(&dir)?;
        let write = |file: &str, bytes: &[u8]| {
            let path = dir.join(file);
            write_private(&path, bytes).map_err(|source| StoredError::File { path, source })
        };
        let names = Names {
            tenant_id: tenant_id.clone(),
            site_id: site_id.clone(),
            agent_id: *agent_id,
            control_plane: control_plane.to_string(),
            log_from: log_from.map(|place| place.to_string()),
        };
        let names = serde_json::to_vec(&names)
            .map_err(|error| StoredError::Damaged { path: dir.join(NAMES), detail: error.to_string() })?;
        write(KEY, key.to_pem().expose_secret().as_bytes())?;
        write(CERTIFICATE, certificate.certificate_pem.as_bytes())?;
        write(CA, certificate.ca_pem.as_bytes())?;
        write(NAMES, &names)?;
        self.point_to(&name)?;
        self.forget(former.as_deref());
        Ok(())
    }

    /// Gives the identity up. Call with the lock held.
    pub(super) fn remove(&self) -> Result<(), StoredError> {
        let former = self.generation();
        let path = self.0.join(CURRENT);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(|source| StoredError::File { path, source })?,
        }
        sync_dir(&self.0).map_err(|source| StoredError::File { path: self.0.clone(), source })?;
        self.forget(former.as_deref());
        Ok(())
    }

    fn make(&self, dir: &Path) -> Result<(), StoredError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| StoredError::File { path: dir.to_owned(), source })
    }

    /// A name that no directory has.
    fn free_name(&self) -> String {
        let taken = |number: &u64| self.0.join(number.to_string()).exists();
        let number = (1_u64..).find(|number| !taken(number)).unwrap_or_default();
        number.to_string()
    }

    fn point_to(&self, name: &str) -> Result<(), StoredError> {
        let (next, current) = (self.0.join(NEXT), self.0.join(CURRENT));
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| StoredError::File { path, source }
        };
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(&next)(error)),
            Ok(()) | Err(_) => {}
        }
        symlink(name, &next).map_err(file(&next))?;
        fs::rename(&next, &current).map_err(file(&current))?;
        sync_dir(&self.0).map_err(file(&self.0))
    }

    /// Removes what is no longer in force. What stays for want of a right is tried again the next time.
    fn forget(&self, former: Option<&Path>) {
        let Some(former) = former else { return };
        let dir = self.0.join(former);
        if let Err(error) = fs::remove_dir_all(&dir) {
            tracing::warn!(path = %dir.display(), %error, "a former identity could not be removed");
        }
    }
}

impl Identity {
    /// Which of the identities on disk it is.
    pub fn generation(&self) -> &Path {
        &self.generation
    }

    /// Whether its certificate is good at this time.
    pub fn is_valid(&self, now_ms: i64) -> bool {
        (self.certificate.not_before_ms..self.certificate.not_after_ms).contains(&now_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use nkudo_pki::{AgentIdentity, Authority};

    use super::*;

    fn made(key: PrivateKey) -> Made {
        Made {
            tenant_id: TenantId::default(),
            site_id: SiteId::default(),
            agent_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            control_plane: "https://cp.example.com:8443".parse().unwrap(),
            key,
            log_from: Some("o_00000001.2026-11-21_7".parse().unwrap()),
        }
    }

    fn certificate(made: &Made) -> NewCertificate {
        let (authority, _) = Authority::create(0).unwrap();
        let Made { tenant_id, site_id, agent_id, key, .. } = made;
        let identity =
            AgentIdentity { tenant_id: tenant_id.clone(), site_id: site_id.clone(), agent_id: *agent_id };
        let lifetime = std::time::Duration::from_secs(60);
        let issued = authority.sign_agent(&key.request().unwrap(), &identity, lifetime, 0).unwrap();
        NewCertificate {
            certificate_pem: issued.certificate_pem,
            ca_pem: authority.certificate_pem().to_owned(),
            expires_at_ms: issued.expires_at_ms,
        }
    }

    #[test]
    fn an_identity_is_swapped_whole_and_read_by_its_owner_only() {
        let state_dir = tempfile::tempdir().unwrap();
        let dir = IdentityDir::of(state_dir.path());
        assert!(dir.load().unwrap().is_none());
        let made = made(PrivateKey::generate().unwrap());
        for _ in 0..3 {
            let _lock = dir.lock().unwrap();
            assert!(matches!(dir.lock(), Err(StoredError::Busy)));
            dir.save(&made, &certificate(&made)).unwrap();
        }
        let identity = dir.load().unwrap().unwrap();
        assert_eq!((identity.agent_id, &identity.control_plane), (made.agent_id, &made.control_plane));
        assert_eq!(identity.log_from, made.log_from);
        assert!(identity.is_valid(59_999) && !identity.is_valid(60_000));
        let held: Vec<_> = fs::read_dir(state_dir.path().join(DIR)).unwrap().flatten().collect();
        assert_eq!(held.len(), 3, "one identity, the link to it and the lock: {held:?}");
        let current = state_dir.path().join("identity/current");
        for name in [KEY, CERTIFICATE, CA, NAMES] {
            let mode = fs::metadata(current.join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name}");
        }
        dir.remove().unwrap();
        assert!(dir.load().unwrap().is_none());
        assert_eq!(fs::read_dir(state_dir.path().join(DIR)).unwrap().count(), 1, "only the lock is left");
    }

    #[test]
    fn damage_is_told_with_the_remedy() {
        let state_dir = tempfile::tempdir().unwrap();
        let dir = IdentityDir::of(state_dir.path());
        let made = made(PrivateKey::generate().unwrap());
        let _lock = dir.lock().unwrap();
        dir.save(&made, &certificate(&made)).unwrap();
        let other = PrivateKey::generate().unwrap();
        let path = state_dir.path().join("identity/current/agent.key");
        fs::write(&path, other.to_pem().expose_secret()).unwrap();
        assert!(dir.load().unwrap_err().to_string().contains("--force"));
        dir.save(&made, &certificate(&made)).unwrap();
        let path = state_dir.path().join("identity/current/identity.json");
        let names = fs::read_to_string(&path).unwrap();
        for nonsense in ["{".to_owned(), names.replace("_7", "_x")] {
            fs::write(&path, &nonsense).unwrap();
            assert!(dir.load().unwrap_err().to_string().contains("identity.json is damaged"), "{nonsense}");
        }
        // An earlier version did not say from where on its log counts.
        let mut earlier: serde_json::Value = serde_json::from_str(&names).unwrap();
        earlier.as_object_mut().unwrap().remove("log_from").unwrap();
        fs::write(&path, earlier.to_string()).unwrap();
        assert_eq!(dir.load().unwrap().unwrap().log_from, None);
    }
}
