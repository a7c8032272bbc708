//! `tokens`, `keys` and `sites`.

use clap::{Args, Subcommand};
use nkudo_domain::{Role, SiteId};

use super::Listing;

#[derive(Debug, Args)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    pub(crate) command: Option<TokenCommand>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List the enrolment tokens (the same as without a word)
    List(Listing),
    /// Make an enrolment token; only now is it shown
    Create {
        /// The site of the hosts that it lets in [default: default]
        #[arg(long)]
        site: Option<SiteId>,
        /// How long it is good, like 30m, 1h or 7d [default: 1h]
        #[arg(long, value_name = "TIME", value_parser = lifetime_seconds)]
        ttl: Option<u64>,
        /// How many hosts it lets in [default: 1]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
    },
    /// Delete an enrolment token: it lets nobody in any more
    Delete { token_id: String },
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) command: Option<KeyCommand>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the API keys (the same as without a word)
    List(Listing),
    /// Make an API key; only now is it shown
    Create {
        /// What its bearer may do: viewer, operator or admin
        #[arg(long)]
        role: Role,
    },
    /// Delete an API key
    Delete { key_id: String },
}

#[derive(Debug, Args)]
pub(crate) struct Sites {
    #[command(subcommand)]
    pub(crate) command: Option<SiteCommand>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SiteCommand {
    /// List the sites (the same as without a word)
    List(Listing),
    /// Make a site
    Create {
        #[arg(value_name = "SITE")]
        site_id: SiteId,
    },
    /// Delete a site that has no agent and no token
    Delete {
        #[arg(value_name = "SITE")]
        site_id: SiteId,
    },
}

/// A time in whole seconds.
fn lifetime_seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a time; write it like 90s, 30m, 1h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_seconds).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read() {
        for (text, expected) in [
            ("90s", Some(90)),
            ("30m", Some(1_800)),
            ("1h", Some(3_600)),
            ("7d", Some(604_800)),
            ("0s", None),
            ("60", None),
            ("1w", None),
            ("h", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(lifetime_seconds(text).ok(), expected, "{text}");
        }
    }
}
