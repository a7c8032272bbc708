//! Whose processes they are, in words that fit a variable and the name of a directory.

/// The variable in the environment of all that is contained: `<owner>:<name>`, the owner as a digest.
pub const MARK: &str = "CONTAINED_AS";

/// What the directories of our control groups begin with.
const PREFIX: &str = "contained-";

/// The most bytes that a name has, so that a directory can be named after it.
const NAME_MAX: usize = 128;

/// Who starts what is contained, in this life and the next. No two that run at the same time on one host may be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    digest: String,
    groups: Groups,
}

/// In which control groups to put what is started. Ending what was left looks into all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Groups {
    /// The best that this host lets us make, or none.
    #[default]
    Any,
    /// Version 2 or none.
    Unified,
    /// Version 1 or none.
    Legacy,
    None,
}

impl Owner {
    /// From a text that is the owner's alone on this host, as the path of the directory that it holds locked.
    pub fn new(text: &str) -> Owner {
        Owner { digest: format!("{:032x}", fnv1a(text.as_bytes())), groups: Groups::Any }
    }

    #[must_use]
    pub fn in_groups(self, groups: Groups) -> Owner {
        Owner { groups, ..self }
    }

    pub(super) fn groups(&self) -> Groups {
        self.groups
    }

    /// The value of [`MARK`] of one that this owner starts.
    pub(super) fn mark(&self, name: &str) -> String {
        format!("{}:{name}", self.digest)
    }

    /// The name in a mark, when it is one of this owner.
    pub(super) fn name_in_mark<'a>(&self, mark: &'a [u8]) -> Option<&'a str> {
        let name = mark.strip_prefix(self.digest.as_bytes())?.strip_prefix(b":")?;
        std::str::from_utf8(name).ok().filter(|name| is_name(name))
    }

    pub(super) fn directory(&self, name: &str) -> String {
        format!("{PREFIX}{}-{name}", self.digest)
    }

    /// The name in the name of a directory, when that is one of this owner.
    pub(super) fn name_in_directory<'a>(&self, directory: &'a str) -> Option<&'a str> {
        let name = directory.strip_prefix(PREFIX)?.strip_prefix(&self.digest)?.strip_prefix('-')?;
        is_name(name).then_some(name)
    }
}

/// Whether something can be named so.
pub(super) fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(good)
}

/// FNV-1a of 128 bits (Fowler, Noll, Vo): the same in each build of each version, as the next life needs it.
fn fnv1a(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_published_examples() {
        assert_eq!(fnv1a(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn names_are_found_again_by_their_owner_alone() {
        let (owner, another) = (Owner::new("/a"), Owner::new("/b"));
        for name in ["a", "0.A_z:-", ".", "..", "-", &"n".repeat(128)] {
            let (mark, directory) = (owner.mark(name), owner.directory(name));
            assert!(is_name(name) && directory.len() <= 255, "{name}");
            assert_eq!(owner.name_in_mark(mark.as_bytes()), Some(name));
            assert_eq!(owner.name_in_directory(&directory), Some(name));
            assert_eq!(another.name_in_mark(mark.as_bytes()), None);
            assert_eq!(another.name_in_directory(&directory), None);
        }
    }

    #[test]
    fn what_is_no_name_is_not_taken_for_one() {
        for name in ["", "a b", "a/b", "a\n", "\u{e4}", "a\0", &"n".repeat(129)] {
            assert!(!is_name(name), "{name:?}");
            let owner = Owner::new("/a");
            assert_eq!(owner.name_in_mark(owner.mark(name).as_bytes()), None);
            assert_eq!(owner.name_in_directory(&owner.directory(name)), None);
        }
    }
}
