//! The right word nearest to a wrong one.

/// The candidate nearest to `word` by edit distance, when it is near enough to be what was meant: at most a third
/// of its letters, and at least one, differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_does_not() {
        let keys = ["metrics_addr", "log_level", "log_format", "state_dir"];
        assert_eq!(nearest("log_levle", keys), Some("log_level"));
        assert_eq!(nearest("metric_addr", keys), Some("metrics_addr"));
        assert_eq!(nearest("LOG_FORMAT", keys), Some("log_format"));
        assert_eq!(nearest("zebra", keys), None);
    }
}
