//! An agent's end: dials, takes in what it is asked for, does it once, and tells the results until they are acknowledged.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nkudo_domain::{ActionId, EndStatus};
use nkudo_fleet::{Backoff, Telling};
use nkudo_rpc::message::{ActionResult, AgentHello, Answer, Facts, FromAgent, ToAgent};
use nkudo_rpc::{Connection, LinkReceiver, LinkSender, Target};
use turmoil::net::TcpStream;

use super::control::PORT;
use super::{CONTROL, Chance};

/// How long a connection and its hello may take.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// How long an action takes.
const DEED: Duration = Duration::from_millis(300);

/// What the host has on its disk, all of it durable at once.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Taken in and not done.
    waiting: Vec<ActionId>,
    pub(super) performed: BTreeMap<ActionId, u32>,
    /// The results in their order, from number one on.
    results: Vec<ActionId>,
    acknowledged: u64,
    /// The control plane has said hello, and the link has not ended.
    pub(super) linked: bool,
}

impl Host {
    /// Takes an action in, unless it is known.
    fn take_in(&mut self, action_id: ActionId) {
        if !self.performed.contains_key(&action_id) && !self.waiting.contains(&action_id) {
            self.waiting.push(action_id);
        }
    }

    fn perform(&mut self) {
        if !self.waiting.is_empty() {
            let action_id = self.waiting.remove(0);
            *self.performed.entry(action_id.clone()).or_default() += 1;
            self.results.push(action_id);
        }
    }

    fn results_after(&self, seq: u64, limit: usize) -> Vec<(u64, ActionId)> {
        let numbered = (1..).zip(self.results.iter().cloned());
        numbered.filter(|(number, _)| *number > seq).take(limit).collect()
    }

    pub(super) fn owes_nothing(&self) -> bool {
        self.waiting.is_empty() && self.acknowledged == self.results.len() as u64
    }
}

/// Keeps a link open until the program is killed.
pub(super) async fn run(
    host: Arc<Mutex<Host>>,
    tls: Arc<rustls::ClientConfig>,
    jitter: u64,
) -> Result<(), Box<dyn Error>> {
    // What was linked before a kill is no more.
    host.lock().unwrap().linked = false;
    let (mut backoff, mut chance) = (Backoff::new(500, 5_000), Chance(jitter));
    loop {
        let linked = tokio::time::timeout(OPEN_DEADLINE, open(&tls)).await;
        if let Ok(Ok((sender, receiver))) = linked {
            let had_hello = session(&host, sender, receiver).await;
            host.lock().unwrap().linked = false;
            if had_hello {
                backoff.succeeded();
            }
        }
        tokio::time::sleep(Duration::from_millis(backoff.failed(chance.next()))).await;
    }
}

async fn open(tls: &Arc<rustls::ClientConfig>) -> Result<(LinkSender, LinkReceiver), Box<dyn Error>> {
    let target = Target { host: CONTROL.to_owned(), port: PORT };
    let stream = TcpStream::connect((CONTROL, PORT)).await?;
    let connection = Connection::over(stream, &target, Arc::clone(tls)).await?;
    let (sender, receiver) = connection.link().await?;
    let hello = AgentHello { facts: Facts::default(), sent_at_ms: 0, outbox_id: "of this host".to_owned() };
    say(&sender, FromAgent::Hello(hello)).await.ok_or("the link is over")?;
    Ok((sender, receiver))
}

async fn say(sender: &LinkSender, message: FromAgent) -> Option<()> {
    sender.room().await?.send(message);
    Some(())
}

/// One link, until it breaks. Answers whether the control plane said hello.
async fn session(host: &Mutex<Host>, sender: LinkSender, mut receiver: LinkReceiver) -> bool {
    let mut telling = Telling::after(host.lock().unwrap().acknowledged);
    let mut deeds = tokio::time::interval(DEED);
    let mut had_hello = false;
    loop {
        let mut outgoing = Vec::new();
        // In this order, as chance of its own would make each run another. All are cancel safe.
        tokio::select! {
            biased;
            message = receiver.next() => match message {
                Ok(Some(Ok(ToAgent::Hello(_)))) => {
                    had_hello = true;
                    host.lock().unwrap().linked = true;
                }
                Ok(Some(Ok(ToAgent::Deliver(delivery)))) => {
                    // Taken in before it is answered.
                    host.lock().unwrap().take_in(delivery.action_id.clone());
                    let action_id = delivery.action_id;
                    outgoing.push(FromAgent::Received { action_id, answer: Answer::Accepted });
                }
                Ok(Some(Ok(ToAgent::Acknowledge { seq }))) => {
                    if let Some(seq) = telling.acknowledged(seq) {
                        host.lock().unwrap().acknowledged = seq;
                    }
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_)) | None) | Err(_) => return had_hello,
            },
            _ = deeds.tick() => host.lock().unwrap().perform(),
        }
        if let Some((seq, limit)) = telling.next() {
            for (seq, action_id) in host.lock().unwrap().results_after(seq, limit) {
                telling.sent(seq);
                outgoing.push(FromAgent::Result(Box::new(result(seq, action_id))));
            }
        }
        for message in outgoing {
            if say(&sender, message).await.is_none() {
                return had_hello;
            }
        }
    }
}

fn result(seq: u64, action_id: ActionId) -> ActionResult {
    ActionResult {
        seq,
        action_id,
        action: None,
        status: EndStatus::Success,
        changed: Some(true),
        error: None,
        retries: 0,
        created_at_ms: 1,
        completed_at_ms: 2,
        execution: None,
    }
}
