//! When a certificate is renewed.

use crate::backoff::scaled;

/// The moment to renew a certificate that is valid from `issued_ms` to `expires_ms` (wall clock): at two thirds of its
/// life, or up to a tenth of its life earlier by `random`, evenly drawn, so that agents that were enrolled together do
/// not renew together.
pub fn renew_at_ms(issued_ms: i64, expires_ms: i64, random: u64) -> i64 {
    let life = u64::try_from(expires_ms.saturating_sub(issued_ms)).unwrap_or(0);
    let earlier = scaled(random, life / 10);
    let after = (life / 3 * 2).saturating_sub(earlier);
    issued_ms.saturating_add(i64::try_from(after).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thirds_with_jitter() {
        assert_eq!(renew_at_ms(0, 30_000, 0), 20_000);
        assert_eq!(renew_at_ms(0, 30_000, u64::MAX), 17_000);
        assert_eq!(renew_at_ms(5, 5, 7), 5);
        assert_eq!(renew_at_ms(10, 5, 7), 10, "a life that is none has no two thirds");
    }
}
