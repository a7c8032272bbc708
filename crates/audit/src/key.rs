//! The key that signs checkpoints, and the public half that verifies them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nkudo_journal::{Deed, Disk, JournalError, atomic_replace};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use thiserror::Error;

use crate::hex;

/// Bytes of an Ed25519 signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;
/// More than any key file has.
const FILE_MAX_BYTES: u64 = 4096;

/// An Ed25519 key in a file. It neither prints nor serialises; what can be seen of it is its [`PublicKey`].
pub struct HostKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl HostKey {
    /// The key in a file: PKCS#8 in version 2, which holds both halves, so that a damaged key is noticed. When there is
    /// none one is made, durably and for our user alone. Beside it, with `.pub` after its name, stands the public key as
    /// 64 hexadecimal digits.
    ///
    /// # Errors
    /// When there are halves that do not belong together, or the key is gone and its public half is not: a new key would
    /// hide that the old one was lost.
    pub fn load_or_create<D: Disk>(disk: &D, path: &Path) -> Result<HostKey, KeyError> {
        let public_path = public_path(path);
        let public = read(disk, &public_path)?;
        let key = match read(disk, path)? {
            Some(der) => HostKey::from_pkcs8(&der).ok_or_else(|| KeyError::NotAKey(path.to_owned()))?,
            None if public.is_some() => return Err(KeyError::Lost { path: path.to_owned(), public_path }),
            None => HostKey::create(disk, path)?,
        };
        match public {
            None => {
                let text = format!("{}\n", key.public);
                atomic_replace(disk, &public_path, text.as_bytes()).map_err(KeyError::Write)?;
            }
            Some(text) if PublicKey::parse(&text) == Some(key.public) => {}
            Some(_) => return Err(KeyError::OtherPublic { path: path.to_owned(), public_path }),
        }
        // A program that was killed may have left names that only memory knows, and the log must not outlive its key.
        let dir = path.parent().unwrap_or(path);
        disk.sync_dir(dir).map_err(failed(Deed::Sync, dir))?;
        Ok(key)
    }

    pub const fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(bytes).as_ref());
        signature
    }

    fn create<D: Disk>(disk: &D, path: &Path) -> Result<HostKey, KeyError> {
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoChance)?;
        // The parent of a bare name is the empty path, which nobody has to make.
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            disk.create_dir_all(dir).map_err(failed(Deed::MakeDirectory, dir))?;
        }
        atomic_replace(disk, path, document.as_ref()).map_err(KeyError::Write)?;
        HostKey::from_pkcs8(document.as_ref()).ok_or_else(|| KeyError::NotAKey(path.to_owned()))
    }

    fn from_pkcs8(der: &[u8]) -> Option<HostKey> {
        let pair = Ed25519KeyPair::from_pkcs8(der).ok()?;
        let mut public = PublicKey([0; 32]);
        public.0.copy_from_slice(pair.public_key().as_ref());
        Some(HostKey { pair, public })
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// An Ed25519 public key. As text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key in a `.pub` file.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else.
    pub fn read<D: Disk>(disk: &D, path: &Path) -> Result<PublicKey, KeyError> {
        let missing = || failed(Deed::Read, path)(io::ErrorKind::NotFound.into());
        let text = read(disk, path)?.ok_or_else(missing)?;
        PublicKey::parse(&text).ok_or_else(|| KeyError::NotPublic(path.to_owned()))
    }

    pub(crate) fn parse(text: &[u8]) -> Option<PublicKey> {
        hex::read(text.trim_ascii()).map(PublicKey)
    }

    pub(crate) fn has_signed(&self, bytes: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<PublicKey, NotAPublicKey> {
        PublicKey::parse(text.as_bytes()).ok_or(NotAPublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::text(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a public key is written in 64 lower-case hexadecimal digits")]
pub struct NotAPublicKey;

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error("cannot {deed} {}", path.display())]
    Disk {
        deed: Deed,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the key of the audit log")]
    Write(#[source] JournalError),
    #[error("this machine gave no random bytes to make a key of")]
    NoChance,
    #[error("{} is no Ed25519 key in PKCS#8 version 2: restore it from a backup", .0.display())]
    NotAKey(PathBuf),
    #[error("{} is no public key in 64 hexadecimal digits", .0.display())]
    NotPublic(PathBuf),
    #[error(
        "{} is gone, but {} is there: restore the key, or move its public half away to begin with another key and another log",
        path.display(),
        public_path.display()
    )]
    Lost { path: PathBuf, public_path: PathBuf },
    #[error(
        "{} does not belong to {}: restore whichever was replaced, or remove the public half to have it written anew",
        public_path.display(),
        path.display()
    )]
    OtherPublic { path: PathBuf, public_path: PathBuf },
}

/// Where the public half of a key stands.
fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Nothing when there is no such file.
fn read<D: Disk>(disk: &D, path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    match disk.read_at(path, 0, FILE_MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(failed(Deed::Read, path)),
    }
}

fn failed(deed: Deed, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::Disk { deed, path: path.to_owned(), source }
}
