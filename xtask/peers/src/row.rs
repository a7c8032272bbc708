//! The figures of a row, as a table and as JSON.

use std::io;

use serde::Serialize;

use crate::harness::{Taken, Whose};

/// What a row has to say. Lower is better; what there is none of is null.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    name: String,
    unit: &'static str,
    ours: Option<f64>,
    best_peer: Option<f64>,
    peer: Option<&'static str>,
    limit: Option<f64>,
    ratio_to_best_peer: Option<f64>,
    ratio_to_limit: Option<f64>,
    /// Of everybody, the best first.
    #[serde(skip)]
    taken: Vec<(&'static str, Taken)>,
}

impl Figures {
    pub(crate) fn of(name: &str, unit: &'static str, taken: Vec<(Whose, Taken)>) -> Self {
        let of = |whose: Whose| taken.iter().find(|(who, _)| *who == whose).map(|(_, taken)| taken.median);
        let (ours, limit) = (of(Whose::Ours), of(Whose::Limit));
        let peers = taken.iter().filter_map(|(who, taken)| match who {
            Whose::Peer(name) => Some((*name, taken.median)),
            Whose::Ours | Whose::Limit => None,
        });
        let best = peers.min_by(|a, b| a.1.total_cmp(&b.1));
        let mut named: Vec<(&'static str, Taken)> =
            taken.iter().map(|(who, taken)| (who.as_str(), *taken)).collect();
        named.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
        let ratio =
            |to: Option<f64>| ours.zip(to).filter(|(_, to)| *to > 0.0).map(|(ours, to)| round(ours / to));
        Self {
            name: name.to_owned(),
            unit,
            ours: ours.map(round),
            best_peer: best.map(|(_, figure)| round(figure)),
            peer: best.map(|(name, _)| name),
            limit: limit.map(round),
            ratio_to_best_peer: ratio(best.map(|(_, figure)| figure)),
            ratio_to_limit: ratio(limit),
            taken: named,
        }
    }
}

/// Three digits are more than a measurement has.
fn round(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

pub(crate) fn print(figures: &Figures) {
    let dash = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.2}"));
    println!(
        "{:<48} {:>2}  ours {:>9}  limit {:>9}  to limit {:>6}  to best peer {:>6}",
        figures.name,
        figures.unit,
        dash(figures.ours),
        dash(figures.limit),
        dash(figures.ratio_to_limit),
        dash(figures.ratio_to_best_peer),
    );
    for (who, Taken { least, median, greatest }) in &figures.taken {
        println!("{:<48}     {who:<20} {median:>9.2}  from {least:.2} to {greatest:.2}", "");
    }
}

pub(crate) fn write(rows: &[Figures], file: &str) -> io::Result<()> {
    std::fs::write(file, serde_json::to_vec_pretty(rows)?)
}
