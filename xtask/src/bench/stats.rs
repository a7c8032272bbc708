//! Percentiles of a few figures.

/// The figure that `percent` of a hundred do not exceed (nearest rank). Zero where there is none.
pub(crate) fn percentile(figures: &[f64], percent: usize) -> f64 {
    permille(figures, percent * 10)
}

/// The figure that so many of a thousand do not exceed (nearest rank). Zero where there is none.
pub(crate) fn permille(figures: &[f64], of_thousand: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * of_thousand).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let figures: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&figures, 50), 50.0);
        assert_eq!(percentile(&figures, 99), 99.0);
        assert_eq!(percentile(&[7.0], 1), 7.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }
}
