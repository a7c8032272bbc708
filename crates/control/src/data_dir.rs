//! The data directory: certificate authority, server certificate, admin token, books.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nkudo_host::file::write_private;
use nkudo_host::lock::{self, LockedFile};
use nkudo_pki::{Authority, PkiError, PrivateKey, certificate_facts};
use secrecy::{ExposeSecret as _, SecretString};

/// Held by the server that uses the directory.
const SERVE_LOCK: &str = "lock";
/// Held while the authority is made, by whichever program comes first.
const INIT_LOCK: &str = "init.lock";
/// How long one program waits for another to make the authority.
const INIT_WAIT: Duration = Duration::from_secs(10);
const CA_KEY: &str = "ca.key";
const CA_CERTIFICATE: &str = "ca.pem";
const SERVER_KEY: &str = "server.key";
const SERVER_CERTIFICATE: &str = "server.pem";
const ADMIN_TOKEN: &str = "admin.token";
const DATABASE: &str = "nkudo.db";
const ADDR_FILE: &str = "control-plane.addr.json";

/// Why the data directory cannot be used. The sentence names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("the data directory {} cannot be made or used; look at its owner and mode, or choose another with --data-dir", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("{} is no directory; choose another with --data-dir", path.display())]
    NotADirectory { path: PathBuf },
    #[error("a control plane ({holder}) runs on {}; stop it first, or choose another with --data-dir", path.display())]
    Locked { path: PathBuf, holder: String },
    #[error("another program is making the certificate authority in {}; try again", path.display())]
    Busy { path: PathBuf },
    #[error("{} cannot be read or written; free some space, or look at its owner and mode", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is missing, and {} is there: restore it from a backup; without it no agent can be let in", absent.display(), present.display())]
    HalfAuthority { absent: PathBuf, present: PathBuf },
    #[error("{} is missing, and the database has agents that trust it: restore ca.key and ca.pem from a backup; a new authority would lock them all out", absent.display())]
    AuthorityLost { absent: PathBuf },
    #[error("the certificate authority in {} cannot be used", path.display())]
    Authority { path: PathBuf, source: PkiError },
}

/// A data directory that is there.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// What the server shows of itself.
#[derive(Debug)]
pub(crate) struct ServerIdentity {
    /// Its certificate, then that of the authority.
    pub(crate) chain_pem: String,
    pub(crate) key: PrivateKey,
}

impl DataDir {
    /// Opens the directory, and makes it (mode 0700) when there is none.
    ///
    /// # Errors
    /// When it cannot be made, or is none.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(DataDirError::NotADirectory { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
            }
            Err(error) => return Err(unusable(error)),
        }
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the directory for the only server on it.
    pub(crate) fn lock(&self) -> Result<LockedFile, DataDirError> {
        let path = self.0.join(SERVE_LOCK);
        let file = |source| DataDirError::File { path: path.clone(), source };
        let Some(locked) = LockedFile::try_exclusive(&path).map_err(file)? else {
            let note = lock::read_note(&path).unwrap_or_default();
            let holder =
                if note.trim().is_empty() { "of unknown pid".to_owned() } else { note.trim().to_owned() };
            return Err(DataDirError::Locked { path: self.0.clone(), holder });
        };
        locked.write_note(&format!("pid {}\n", std::process::id())).map_err(file)?;
        Ok(locked)
    }

    /// Where the books are when nobody says otherwise.
    pub(crate) fn database_url(&self) -> String {
        format!("sqlite:{}", self.0.join(DATABASE).display())
    }

    pub(crate) fn addr_file(&self) -> PathBuf {
        self.0.join(ADDR_FILE)
    }

    /// Waits for its turn to make what is missing. Held until it is dropped.
    pub(crate) async fn initialising(&self) -> Result<LockedFile, DataDirError> {
        let path = self.0.join(INIT_LOCK);
        let started = Instant::now();
        loop {
            let locked = LockedFile::try_exclusive(&path)
                .map_err(|source| DataDirError::File { path: path.clone(), source })?;
            match locked {
                Some(locked) => return Ok(locked),
                None if started.elapsed() > INIT_WAIT => {
                    return Err(DataDirError::Busy { path: self.0.clone() });
                }
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The certificate authority, when there is one.
    pub(crate) fn authority(&self) -> Result<Option<Authority>, DataDirError> {
        match (self.read(CA_KEY)?, self.read(CA_CERTIFICATE)?) {
            (Some(key_pem), Some(ca_pem)) => {
                let authority = Authority::from_pem(&ca_pem, &SecretString::from(key_pem));
                authority.map(Some).map_err(|source| self.unusable_authority(source))
            }
            (None, Some(_)) => {
                let (absent, present) = (self.0.join(CA_KEY), self.0.join(CA_CERTIFICATE));
                Err(DataDirError::HalfAuthority { absent, present })
            }
            // The certificate is written last: a key alone is what a crash left of the first start, or of a loss.
            (_, None) => Ok(None),
        }
    }

    /// What [`DataDir::authority`] lacks, while the books have agents of it.
    pub(crate) fn authority_lost(&self) -> DataDirError {
        DataDirError::AuthorityLost { absent: self.0.join(CA_CERTIFICATE) }
    }

    /// Makes a certificate authority. Call with [`DataDir::initialising`] held, where nobody trusts an earlier one.
    pub(crate) fn make_authority(&self, now_ms: i64) -> Result<Authority, DataDirError> {
        let (authority, key_pem) =
            Authority::create(now_ms).map_err(|source| self.unusable_authority(source))?;
        self.write(CA_KEY, key_pem.expose_secret().as_bytes())?;
        self.write(CA_CERTIFICATE, authority.certificate_pem().as_bytes())?;
        Ok(authority)
    }

    fn unusable_authority(&self, source: PkiError) -> DataDirError {
        DataDirError::Authority { path: self.0.clone(), source }
    }

    /// The server's certificate for these names, kept while a third of its life is left; else a new one.
    pub(crate) fn server_identity(
        &self,
        authority: &Authority,
        names: &[String],
        lifetime: Duration,
        now_ms: i64,
    ) -> Result<ServerIdentity, DataDirError> {
        if let (Some(key_pem), Some(chain_pem)) = (self.read(SERVER_KEY)?, self.read(SERVER_CERTIFICATE)?)
            && let Some(kept) = kept(&key_pem, chain_pem, authority, names, now_ms)
        {
            return Ok(kept);
        }
        let signed = authority.sign_server(names, lifetime, now_ms);
        let (issued, key) = signed.map_err(|source| self.unusable_authority(source))?;
        let chain_pem = format!("{}{}", issued.certificate_pem, authority.certificate_pem());
        self.write(SERVER_KEY, key.to_pem().expose_secret().as_bytes())?;
        self.write(SERVER_CERTIFICATE, chain_pem.as_bytes())?;
        Ok(ServerIdentity { chain_pem, key })
    }

    pub(crate) fn write_admin_token(&self, key: &str) -> Result<(), DataDirError> {
        self.write(ADMIN_TOKEN, format!("{key}\n").as_bytes())
    }

    fn read(&self, name: &str) -> Result<Option<String>, DataDirError> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataDirError::File { path, source }),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
        let path = self.0.join(name);
        write_private(&path, bytes).map_err(|source| DataDirError::File { path, source })
    }
}

/// The identity that is there, when it is good for the names and long enough, and of this authority.
fn kept(
    key_pem: &str,
    chain_pem: String,
    authority: &Authority,
    names: &[String],
    now_ms: i64,
) -> Option<ServerIdentity> {
    let key = PrivateKey::from_pem(key_pem).ok()?;
    let facts = certificate_facts(&chain_pem).ok()?;
    let left_ms = facts.not_after_ms.saturating_sub(now_ms);
    let life_ms = facts.not_after_ms.saturating_sub(facts.not_before_ms);
    let good = chain_pem.ends_with(authority.certificate_pem())
        && nkudo_pki::matches(&chain_pem, &key).is_ok_and(|matches| matches)
        && names.iter().all(|name| facts.names.contains(name))
        && facts.not_before_ms <= now_ms
        && left_ms > life_ms / 3;
    good.then_some(ServerIdentity { chain_pem, key })
}
