//! The reference of all metrics, for people.

use crate::{Entry, agent, control};

const HEAD: &str = "# Metrics

Written by `cargo xtask codegen` from the catalogue; do not edit.

## Types
- **counter**: only grows, and starts over at zero with the program or with what it follows (a VM's process). Ask for
  its `rate()` or `increase()`.
- **gauge**: goes up and down; its value is what is so now. What is not known has no sample: absent is not zero.
- **histogram**: counts observations in buckets (`_bucket`, with the upper bound in `le`), with their sum and number
  (`_sum`, `_count`); `histogram_quantile()` gives percentiles.
- **summary**: quantiles over a sliding window, computed in the program; they cannot be added up.

## Names
- Every name begins with `nkudo_`, except `process_*`, which every program has under the same names.
- The unit comes last (`_seconds`, `_bytes`, `_percent`), and it is a base unit: seconds, never milliseconds.
- A counter ends in `_total`. `nkudo_vms_total` is a gauge of that name by agreement.

## Labels
- A label is from a closed set (`state`, `action_type`, `status`, `health`, `provider`, `operation`, `component`, `kind`, `collector`,
  `cause`, `level`, `family`, `method`, `route`, `outcome`, `query`, `reason`), names a thing that comes and goes
  (`vm_id`, `vm_name`, `path`, `agent_id`, `site_id`), or tells the build
  (`version`, `commit`, `profile`).
- States, and every `action_type` with every `status`, are there from the start, at zero.
- The series of a deleted VM go with it.
- A family holds a bounded number of series; what the bound refuses is counted in
  `nkudo_metrics_series_refused_total`.
";

/// The whole of `docs/metrics.md`.
pub fn markdown() -> String {
    let agent = section("edge-agent", "on `http://HOST:9090/metrics`", &agent());
    let place = "on `http://127.0.0.1:8080/metrics`, and with an API key on `https://HOST:8443/metrics`";
    HEAD.to_owned() + &agent + &section("control-plane", place, &control())
}

fn section(program: &str, place: &str, entries: &[Entry]) -> String {
    let rows: String = entries.iter().map(row).collect();
    let buckets: String = entries.iter().filter(|entry| !entry.desc.buckets.is_empty()).map(bounds).collect();
    format!(
        "\n## {program}\n{} metrics, {place}.\n\n\
        | name | type | unit | labels | meaning |\n|---|---|---|---|---|\n{rows}\n\
        Upper bounds of the buckets:\n\n{buckets}",
        entries.len()
    )
}

fn row(entry: &Entry) -> String {
    let desc = &entry.desc;
    let (name, kind, unit) = (&desc.name, desc.kind.as_str(), desc.unit.unwrap_or(""));
    let (labels, help) = (desc.labels.join(", "), desc.help.replace('|', "\\|"));
    format!("| `{name}` | {kind} | {unit} | {labels} | {help} |\n")
}

fn bounds(entry: &Entry) -> String {
    let bounds: Vec<String> = entry.desc.buckets.iter().map(f64::to_string).collect();
    format!("- `{}`: {}\n", entry.desc.name, bounds.join(", "))
}
