//! Whether a file is what the kernel runs. The C library gives what the kernel does not know to a shell.
//!
//! Source: elf(5), `e_ident` and `e_machine`; execve(2), interpreter scripts.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Up to `e_machine`.
const HEAD_BYTES: usize = 20;

/// Whether it is a program of this machine or a script that names its interpreter. What cannot be read is left to the kernel.
pub(super) fn can_be_run(program: &Path) -> bool {
    let Some(head) = head(program) else { return true };
    head.starts_with(b"#!") || (kind(&head).is_some() && kind(&head) == ours())
}

fn head(path: &Path) -> Option<Vec<u8>> {
    // Opening a pipe or a device may wait, or do something.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    Some(head)
}

/// Word size, byte order and machine of a program.
fn kind(head: &[u8]) -> Option<[u8; 4]> {
    let is_elf = head.len() == HEAD_BYTES && head.starts_with(b"\x7fELF");
    is_elf.then(|| [head[4], head[5], head[18], head[19]])
}

fn ours() -> Option<[u8; 4]> {
    kind(&head(Path::new("/proc/self/exe"))?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_the_kernel_runs_by_itself_is_a_program() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let own = fs::read("/proc/self/exe").unwrap();
        let mut foreign = own[..64].to_vec();
        foreign[18] ^= 0xff;
        let cases: [(&[u8], bool); 6] = [
            (b"#!/bin/sh\ntrue\n", true),
            (&own[..64], true),
            (&foreign, false),
            (b"\x7fELF", false),
            (b"echo no first line\n", false),
            (b"", false),
        ];
        for (bytes, expected) in cases {
            fs::write(&file, bytes).unwrap();
            assert_eq!(can_be_run(&file), expected, "{:?}", &bytes[..bytes.len().min(8)]);
        }
        // What these are the kernel says.
        assert!(can_be_run(dir.path()) && can_be_run(&dir.path().join("missing")));
    }
}
