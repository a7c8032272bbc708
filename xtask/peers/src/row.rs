//! The figures of a row, as a table and as JSON.

use std::io;

use serde::Serialize;

use crate::harness::Whose;

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
    #[serde(skip)]
    peers: Vec<(&'static str, f64)>,
}

impl Figures {
    pub(crate) fn of(name: &str, unit: &'static str, medians: Vec<(Whose, f64)>) -> Self {
        let of = |whose: Whose| medians.iter().find(|(who, _)| *who == whose).map(|(_, figure)| *figure);
        let (ours, limit) = (of(Whose::Ours), of(Whose::Limit));
        let mut peers: Vec<(&'static str, f64)> = medians
            .iter()
            .filter_map(|(who, figure)| match who {
                Whose::Peer(name) => Some((*name, *figure)),
                Whose::Ours | Whose::Limit => None,
            })
            .collect();
        peers.sort_by(|a, b| a.1.total_cmp(&b.1));
        let best = peers.first().copied();
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
            peers,
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
    let peers: Vec<String> =
        figures.peers.iter().map(|(name, figure)| format!("{name} {figure:.2}")).collect();
    println!("{:<48}     {}", "", peers.join(", "));
}

pub(crate) fn write(rows: &[Figures], file: &str) -> io::Result<()> {
    std::fs::write(file, serde_json::to_vec_pretty(rows)?)
}
