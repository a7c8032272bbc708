//! The two files of `/proc/<pid>` that are read often, parsed for what is needed of them.

use std::fs::File;
use std::io::{self, Read as _};

/// Long enough for `stat` (under 500 bytes) and `status` (under 2 KiB) of today's kernels.
const READ_BYTES: usize = 4096;

/// Of `/proc/<pid>/stat`, see proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Neither a zombie nor dead.
    pub(super) alive: bool,
    pub(super) parent: u32,
    pub(super) session: u32,
    /// In user and kernel mode, of itself and of the children that it waited for.
    pub(super) cpu_ticks: u64,
    pub(super) threads: u64,
    pub(super) start_ticks: u64,
    pub(super) virtual_bytes: u64,
    pub(super) resident_pages: u64,
}

/// Of `/proc/<pid>/status`, see proc_pid_status(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) resident_bytes: u64,
    pub(super) peak_resident_bytes: u64,
}

impl Stat {
    /// None inside when the line is not what the manual says.
    pub(super) fn read(pid: u32) -> io::Result<Option<Stat>> {
        read(&format!("/proc/{pid}/stat"), Stat::parse)
    }

    fn parse(line: &[u8]) -> Option<Stat> {
        // The name in brackets may itself hold brackets, blanks and line ends.
        let name_end = line.iter().rposition(|byte| *byte == b')')?;
        let mut fields = std::str::from_utf8(line.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
        let state = fields.next()?;
        // `nth` counts from the field after the one read last: numbers are those of the manual.
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(6 - 5)?.parse().ok()?;
        let mut cpu_ticks = fields.nth(14 - 7)?.parse::<u64>().ok()?;
        for _ in 15..=17 {
            cpu_ticks = cpu_ticks.saturating_add(fields.next()?.parse().ok()?);
        }
        let threads = fields.nth(20 - 18)?.parse().ok()?;
        let start_ticks = fields.nth(22 - 21)?.parse().ok()?;
        let virtual_bytes = fields.next()?.parse().ok()?;
        let resident_pages = fields.next()?.parse().ok()?;
        Some(Stat {
            alive: !matches!(state, "Z" | "X" | "x"),
            parent,
            session,
            cpu_ticks,
            threads,
            start_ticks,
            virtual_bytes,
            resident_pages,
        })
    }
}

impl Memory {
    pub(super) fn read(pid: u32) -> Option<Memory> {
        read(&format!("/proc/{pid}/status"), |text| Some(Memory::parse(text))).ok().flatten()
    }

    /// A kernel thread and a zombie have no such lines, and no memory.
    fn parse(text: &[u8]) -> Memory {
        let mut memory = Memory { resident_bytes: 0, peak_resident_bytes: 0 };
        for line in text.split(|byte| *byte == b'\n') {
            if let Some(value) = line.strip_prefix(b"VmHWM:") {
                memory.peak_resident_bytes = kib(value);
            } else if let Some(value) = line.strip_prefix(b"VmRSS:") {
                memory.resident_bytes = kib(value);
                break;
            }
        }
        memory
    }
}

fn read<T>(path: &str, parse: impl FnOnce(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
    let mut buffer = [0; READ_BYTES];
    let length = File::open(path)?.read(&mut buffer)?;
    Ok(buffer.get(..length).and_then(parse))
}

/// `"\t  1234 kB"` in bytes.
fn kib(value: &[u8]) -> u64 {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit());
    digits
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
        .saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str =
        "1 2 3 0 -1 4194560 101 0 0 0 10 20 30 40 20 0 7 0 4242 1048576 321 18446744073709551615 1 1";

    #[test]
    fn stat_is_read_after_the_last_bracket() {
        let check = |name: &str, state: &str, expected: Option<bool>| {
            let line = format!("17 ({name}) {state} {TAIL}\n");
            let stat = Stat::parse(line.as_bytes());
            assert_eq!(stat.as_ref().map(|stat| stat.alive), expected, "{line}");
            if let Some(stat) = stat {
                let numbers = (stat.threads, stat.start_ticks, stat.virtual_bytes, stat.resident_pages);
                assert_eq!(numbers, (7, 4242, 1_048_576, 321), "{line}");
                assert_eq!((stat.parent, stat.session, stat.cpu_ticks), (1, 3, 10 + 20 + 30 + 40), "{line}");
            }
        };
        check("sh", "S", Some(true));
        check("a) Z 1 (b", "R", Some(true));
        check("two words\n", "D", Some(true));
        check("sh", "Z", Some(false));
        check("sh", "X", Some(false));
    }

    #[test]
    fn garbage_is_no_stat() {
        for line in [
            "",
            "17",
            "17 (sh",
            "17 (sh)",
            "17 (sh) S 1 2 3",
            "17 (sh) S x x x x x x x x x x x x x x x x x x x x",
        ] {
            assert_eq!(Stat::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn memory_of_status() {
        let check = |text: &str, resident_bytes, peak_resident_bytes| {
            assert_eq!(
                Memory::parse(text.as_bytes()),
                Memory { resident_bytes, peak_resident_bytes },
                "{text}"
            );
        };
        check("Name:\tsh\nVmHWM:\t    2048 kB\nVmRSS:\t     512 kB\nThreads:\t1\n", 512 * 1024, 2048 * 1024);
        check("Name:\tkthreadd\nThreads:\t1\n", 0, 0);
        check("", 0, 0);
        check("VmRSS:\t99999999999999999999999 kB", u64::MAX, 0);
    }
}
