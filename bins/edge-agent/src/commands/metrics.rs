//! `metrics`.

use nkudo_agent::config::Settings;
use nkudo_api::view::{List, SampleView};

use nkudo_terminal::daemon::{client, client_failure};
use nkudo_terminal::{Failure, Output, print};

pub(crate) async fn run(settings: &Settings, prefix: Option<&str>, output: Output) -> Result<(), Failure> {
    let mut list: List<SampleView> = client(settings).get("/v1/metrics").await.map_err(client_failure)?;
    list.items.retain(|sample| prefix.is_none_or(|prefix| sample.name.starts_with(prefix)));
    match output {
        Output::Json => print::json(&list),
        Output::Text if list.items.is_empty() => print::line("no metric of that name"),
        Output::Text => {
            let rows = list.items.iter().map(|sample| {
                let labels: Vec<String> =
                    sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                vec![sample.name.clone(), labels.join(" "), print::or_dash(sample.value.as_ref())]
            });
            print::table(&["metric", "labels", "value"], rows)
        }
    }
}
