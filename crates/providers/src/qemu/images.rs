//! The files that a specification names, looked at before QEMU sees them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use nkudo_domain::VmSpec;

use crate::error::ProviderError;

const ELF_MAGIC: &[u8] = b"\x7fELF";
/// Where a bzImage says that it is one (Linux boot protocol, `header`).
const HDRS_OFFSET: usize = 0x202;
const HDRS_MAGIC: &[u8] = b"HdrS";

/// That the kernel is one, and that initial RAM disk and disks can be opened as they will be.
pub(super) fn check(spec: &VmSpec) -> Result<(), ProviderError> {
    check_kernel(&spec.kernel)?;
    if let Some(path) = &spec.initramfs {
        open("initramfs", path, false)?;
    }
    for disk in &spec.disks {
        open("disk", &disk.path, !disk.readonly)?;
    }
    Ok(())
}

fn check_kernel(path: &Path) -> Result<(), ProviderError> {
    let head =
        head(path).map_err(|source| ProviderError::KernelUnreadable { path: path.to_owned(), source })?;
    let is_bzimage = head.get(HDRS_OFFSET..).is_some_and(|header| header.starts_with(HDRS_MAGIC));
    if head.starts_with(ELF_MAGIC) || is_bzimage {
        Ok(())
    } else {
        Err(ProviderError::NotAKernel { path: path.to_owned() })
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    regular(path)?.take(1024).read_to_end(&mut head)?;
    Ok(head)
}

/// Opening a pipe would wait for its other end.
fn regular(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

fn open(what: &'static str, path: &Path, write: bool) -> Result<(), ProviderError> {
    let opened = File::options().read(true).write(write).open(path);
    opened.map(drop).map_err(|source| ProviderError::FileUnreadable { what, path: path.to_owned(), source })
}
