//! `logs`.

use nkudo_domain::AgentId;
use nkudo_terminal::Failure;
use nkudo_terminal::logs::{LogFlags, path};

use crate::session::Session;

pub(crate) async fn run(session: &Session, agent: Option<AgentId>, flags: LogFlags) -> Result<(), Failure> {
    let asked = flags.read(session.output)?;
    let of: Vec<(&str, String)> = agent.iter().map(|agent_id| ("agent_id", agent_id.to_string())).collect();
    let client = session.client();
    if !asked.question.follow {
        let list = asked.pages(async |question| {
            client.get(&path(question, &of)).await.map_err(|error| session.failure(error))
        });
        return asked.show(&list.await?);
    }
    match asked.follow(client, &of, |error| session.failure(error)).await?.map(|end| end.error) {
        None => Ok(()),
        Some(Some(error)) => Err(session.failure(error)),
        Some(None) => Err(Failure::Failed(
            "the control plane ended the stream: it ended itself, or lost the agent".to_owned(),
        )),
    }
}
