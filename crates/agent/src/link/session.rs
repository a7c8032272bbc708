//! One connection to the control plane, from dialling to its end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nkudo_api::view::ActionView;
use nkudo_domain::{ActionStatus, AskedBy, CommandOutput};
use nkudo_executor::{Event, NoAnswer};
use nkudo_fleet::outage::Failure;
use nkudo_fleet::{Schedule, Telling, TheirTime};
use nkudo_host::clock;
use nkudo_rpc::message::{AgentHello, FromAgent, Heartbeat, HeartbeatAnswer, ToAgent};
use nkudo_rpc::{Connection, LinkReceiver, LinkSender, RpcError, RpcErrorKind};
use nkudo_supervision::{Context, Health, Operation};
use nkudo_tracker::Tracker;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::deliveries::Deliveries;
use super::failures::Broken;
use super::logs::Questions;
use super::results::Results;
use super::standing::INTERVAL_DEFAULT;
use super::{LOOK_INTERVAL, Link, failures, random, reports, told};
use crate::identity::{self, Identity, IdentityDir};

/// How long a heartbeat's answer may take.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the control plane may take to say hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// How long the goodbye may take.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(2);
/// How long a link has to be open to be taken for one that works.
const LIVED_MIN: Duration = Duration::from_secs(5);
/// Messages that wait for room on the link; with more, nothing new is taken up.
const OUTGOING_MAX: usize = 512;
/// Bytes of actions' steps that wait for room on the link; with more, no result is taken up.
const OUTGOING_STEPS_MAX_BYTES: usize = 2 << 20;

/// Why a session is over.
pub(super) enum Ended {
    /// The agent ends; the goodbye was said.
    Shutdown,
    /// The identity on disk is another: it was renewed, replaced or given up.
    OtherIdentity,
    /// The control plane is about to end and asks to be left alone for so long.
    AskedToWait(Duration),
    /// It broke, or never came about.
    Failed {
        error: String,
        failure: Failure,
        /// The control plane does not take the certificate.
        refused: bool,
        /// It was open for long enough to be taken for one that works.
        lived: bool,
    },
}

pub(super) struct Session<'l> {
    link: &'l Link,
    identity: &'l Identity,
    dir: &'l IdentityDir,
    context: &'l Context,
    /// The fleet may be coming back at the same time.
    outage: bool,
}

impl<'l> Session<'l> {
    pub(super) fn new(
        link: &'l Link,
        identity: &'l Identity,
        dir: &'l IdentityDir,
        context: &'l Context,
        outage: bool,
    ) -> Self {
        Self { link, identity, dir, context, outage }
    }

    pub(super) async fn run(self) -> Ended {
        // A connection that is not open yet is dropped at the end: nothing was said on it.
        let opened = tokio::select! {
            opened = Box::pin(identity::open(self.identity)) => opened,
            () = self.context.shutdown.cancelled() => return Ended::Shutdown,
        };
        let connection = match opened {
            Ok(connection) => connection,
            Err(error) => {
                let failure = failures::of_opening(&error);
                return Ended::Failed { error: told(&error), failure, refused: false, lived: false };
            }
        };
        let hello = tokio::time::timeout(HELLO_DEADLINE, Box::pin(self.hello(&connection))).await;
        let mut open = match hello {
            Ok(Ok(open)) => open,
            Ok(Err(broken)) => return broken.ended(false),
            Err(_) => {
                let error =
                    format!("the control plane did not say hello within {} s", HELLO_DEADLINE.as_secs());
                return Ended::Failed { error, failure: Failure::Mute, refused: false, lived: false };
            }
        };
        // A hello is answered by the control plane as a heartbeat is.
        self.link.standing.answered(open.interval, open.theirs);
        self.link.outages.heard();
        tracing::info!(control_plane = %self.identity.control_plane, "linked to the control plane");
        self.context.health.set(Health::Healthy);
        let opened_at = Instant::now();
        // One that breaks again and again soon after its hello is dialled ever more rarely.
        let failed = |broken: Broken| broken.ended(opened_at.elapsed() >= LIVED_MIN);
        let heartbeats = Box::pin(self.heartbeats(&connection, open.interval));
        // Neither loses what matters when it is dropped: results that are not acknowledged are told again.
        tokio::select! {
            broken = heartbeats => failed(broken),
            ended = Box::pin(open.go_on(&self)) => ended.unwrap_or_else(failed),
        }
    }

    async fn hello(&self, connection: &Connection) -> Result<Open, Broken> {
        // Listening begins before the first look, so that nothing falls between.
        let events = self.link.executor.events();
        let outbox = self.link.executor.look(|tracker: &Tracker| tracker.outbox().clone()).await?;
        let (sender, mut receiver) = connection.link().await?;
        let (sent_at_ms, asked_ms, started) = (clock::wall_ms(), clock::boottime_ms(), Instant::now());
        let hello = AgentHello { facts: identity::facts(), sent_at_ms, outbox_id: outbox.id.clone() };
        sender.room().await.ok_or(Broken::Closed)?.send(FromAgent::Hello(hello));
        let answer = match receiver.next().await? {
            Some(Ok(ToAgent::Hello(hello))) => hello,
            Some(Err(error)) => return Err(Broken::Rpc(error.into())),
            Some(Ok(_)) | None => return Err(Broken::Closed),
        };
        let theirs = TheirTime::measure(asked_ms, elapsed_ms(started), answer.server_time_ms);
        Ok(Open {
            sender,
            receiver,
            events,
            outgoing: reports::everything(&self.link.executor).await?.into(),
            deliveries: Deliveries::new(self.link.executor.clone(), self.link.audit.clone()),
            questions: Questions::new(self.link.logs.clone(), self.identity.log_from),
            telling: Telling::after(told_up_to(outbox.acknowledged, answer.results_recorded)),
            results: Results::new(self.link.recorder.clone()),
            outbox_id: outbox.id,
            outages_told: 0,
            results_due: true,
            theirs,
            interval: answer.heartbeat_interval,
        })
    }

    /// Heartbeats until one fails.
    async fn heartbeats(&self, connection: &Connection, interval: Duration) -> Broken {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let spread = if self.outage { random() } else { 0 };
        let mut schedule = Schedule::start(clock::monotonic_ms(), interval_ms, spread);
        loop {
            let wait_ms = schedule.next_ms().saturating_sub(clock::monotonic_ms());
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            schedule.sent(clock::monotonic_ms());
            match self.heartbeat(connection).await {
                Ok(answer) => {
                    let interval_ms = u64::try_from(answer.interval.as_millis()).unwrap_or(u64::MAX);
                    schedule.set_interval(interval_ms, clock::monotonic_ms());
                }
                Err(error) => return Broken::Rpc(error),
            }
        }
    }

    async fn heartbeat(&self, connection: &Connection) -> Result<HeartbeatAnswer, RpcError> {
        let (sent_at_ms, asked_ms, started) = (clock::wall_ms(), clock::boottime_ms(), Instant::now());
        let health = self.link.supervisor.health().overall.as_str().to_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let audit_head = self.link.audit.head_to_tell();
        let heartbeat = Heartbeat { sent_at_ms, health, version, audit_head };
        let answered = tokio::time::timeout(HEARTBEAT_DEADLINE, connection.heartbeat(heartbeat)).await;
        let answered = answered.unwrap_or_else(|_| {
            let sentence = format!("a heartbeat was not answered within {} s", HEARTBEAT_DEADLINE.as_secs());
            Err(RpcError::new(RpcErrorKind::Deadline, sentence))
        });
        self.link.metrics.heartbeat(started.elapsed(), answered.is_ok());
        let answer = answered?;
        self.link.audit.head_told(audit_head);
        let theirs = TheirTime::measure(asked_ms, elapsed_ms(started), answer.server_time_ms);
        let interval = if answer.interval.is_zero() { INTERVAL_DEFAULT } else { answer.interval };
        self.link.standing.answered(interval, theirs);
        self.link.outages.heard();
        Ok(HeartbeatAnswer { interval, ..answer })
    }
}

/// A link on which both have said hello.
struct Open {
    sender: LinkSender,
    receiver: LinkReceiver,
    events: Receiver<Event>,
    outgoing: VecDeque<FromAgent>,
    deliveries: Deliveries,
    questions: Questions,
    telling: Telling,
    results: Results,
    outbox_id: String,
    /// Outages up to this number were sent.
    outages_told: u64,
    /// There may be results that were not sent.
    results_due: bool,
    theirs: TheirTime,
    interval: Duration,
}

impl Open {
    /// Goes on until the end is asked for, or something ends it.
    async fn go_on(&mut self, session: &Session<'_>) -> Result<Ended, Broken> {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        loop {
            // A step that is dropped at the end loses nothing: what was not answered is delivered again, what was not
            // acknowledged is told again.
            tokio::select! {
                stepped = self.step(session, &mut look) => {
                    if let Some(ended) = stepped? {
                        return Ok(ended);
                    }
                }
                () = session.context.shutdown.cancelled() => break,
            }
        }
        self.goodbye(session).await;
        Ok(Ended::Shutdown)
    }

    async fn step(
        &mut self,
        session: &Session<'_>,
        look: &mut tokio::time::Interval,
    ) -> Result<Option<Ended>, Broken> {
        self.fill(session).await?;
        let has_room = self.outgoing.len() < OUTGOING_MAX;
        // Every branch is cancel safe: what is not taken stays in its channel, stream or set.
        tokio::select! {
            room = self.sender.room(), if !self.outgoing.is_empty() => {
                let room = room.ok_or(Broken::Closed)?;
                if let Some(message) = self.outgoing.pop_front() {
                    room.send(message);
                    session.context.operations.ended(Operation::NetworkSend, 0, Duration::ZERO, true);
                }
            }
            said = self.receiver.next() => match heard(session, said)? {
                None => return Err(Broken::Closed),
                Some(Err(error)) => {
                    session.link.metrics.message_not_understood();
                    tracing::warn!(reason = %error, "a message of the control plane was not understood");
                }
                Some(Ok(ToAgent::Closing { retry_after })) => return Ok(Some(Ended::AskedToWait(retry_after))),
                Some(Ok(message)) => self.hear(session, message).await?,
            },
            answered = self.deliveries.next(), if has_room => self.outgoing.extend(answered?),
            answer = self.questions.next(), if has_room => self.outgoing.push_back(answer),
            batch = self.results.next() => self.tell_results(batch),
            event = self.events.recv(), if has_room => self.tell(session, event).await?,
            _ = look.tick() => {
                if session.dir.generation().as_deref() != Some(session.identity.generation()) {
                    return Ok(Some(Ended::OtherIdentity));
                }
                self.results_due = true;
                if has_room {
                    self.tell_outages(session);
                }
                session.context.health.progress();
            }
        }
        Ok(None)
    }

    /// Takes up results that are due, within the window and the bounds of what waits.
    async fn fill(&mut self, session: &Session<'_>) -> Result<(), Broken> {
        if !self.results_due || !self.results.is_idle() || !self.has_room_for_results() {
            return Ok(());
        }
        if let Some((after, count)) = self.telling.next() {
            let results = reports::results(&session.link.executor, after, count).await?;
            self.results_due = !results.is_empty();
            if self.results_due {
                self.results.take(results);
            }
        }
        Ok(())
    }

    fn has_room_for_results(&self) -> bool {
        let bytes = self.outgoing.iter().map(|message| match message {
            FromAgent::Spans { otlp_json } => otlp_json.len(),
            FromAgent::Result(result) => {
                let output = result.execution.as_ref().and_then(|execution| execution.output.as_ref());
                output.map_or(0, CommandOutput::len)
            }
            FromAgent::Hello(_)
            | FromAgent::Received { .. }
            | FromAgent::Started { .. }
            | FromAgent::Vms(_)
            | FromAgent::Logs(_)
            | FromAgent::Outages(_)
            | FromAgent::Goodbye { .. } => 0,
        });
        self.outgoing.len() < OUTGOING_MAX && bytes.sum::<usize>() < OUTGOING_STEPS_MAX_BYTES
    }

    /// Puts results behind what waits already.
    fn tell_results(&mut self, batch: Vec<FromAgent>) {
        for message in batch {
            if let FromAgent::Result(result) = &message {
                self.telling.sent(result.seq);
            }
            self.outgoing.push_back(message);
        }
    }

    /// Puts the next outages behind what waits already.
    fn tell_outages(&mut self, session: &Session<'_>) {
        if let Some(told) = session.link.outages.untold(session.identity.agent_id, self.outages_told) {
            self.outages_told = told.last_seq;
            self.outgoing.push_back(FromAgent::Outages(told));
        }
    }

    async fn hear(&mut self, session: &Session<'_>, message: ToAgent) -> Result<(), Broken> {
        match message {
            ToAgent::Deliver(delivery) => {
                let theirs = session.link.standing.theirs().unwrap_or(self.theirs);
                self.deliveries.take(*delivery, theirs).await?;
            }
            ToAgent::Cancel { action_id } => {
                // What it does not know it has refused or answered before; a result tells how it ended.
                let (executor, wanted) = (&session.link.executor, action_id.clone());
                let asked_here =
                    move |tracker: &Tracker| tracker.action(&wanted).is_some_and(|tracked| !tracked.foreign);
                if executor.look(asked_here).await? {
                    session.link.audit.cancel_asked(&action_id, AskedBy::ControlPlane).await;
                    executor.cancel(action_id).await?;
                }
            }
            ToAgent::Acknowledge { seq } => {
                let never_told = move |tracker: &Tracker| seq > tracker.outbox().last;
                if self.telling.is_ahead(seq) && session.link.executor.look(never_told).await? {
                    tracing::error!(
                        seq,
                        "the control plane has a result that the journal here does not know: records were lost"
                    );
                    session.link.executor.acknowledge(seq).await?;
                    return Err(Broken::RecordsLost);
                }
                if let Some(seq) = self.telling.acknowledged(seq) {
                    session.link.executor.acknowledge(seq).await?;
                    self.results_due = true;
                }
            }
            ToAgent::AskLogs(request) => self.questions.take(request),
            ToAgent::OutagesAcknowledged { ledger_id, seq } => {
                session.link.outages.acknowledged(&ledger_id, seq);
                self.tell_outages(session);
            }
            ToAgent::Hello(_) | ToAgent::Closing { .. } => {}
        }
        Ok(())
    }

    async fn tell(&mut self, session: &Session<'_>, event: Result<Event, RecvError>) -> Result<(), Broken> {
        match event {
            // What it had taken in as another agent is nobody's business here.
            Ok(Event::Action { foreign: true, .. }) => {}
            Ok(Event::Action { view, foreign: false }) => self.tell_action(&view),
            Ok(Event::Vm(view)) => self.outgoing.push_back(reports::changed_vm(*view)),
            Ok(Event::VmGone(vm_id)) => self.outgoing.push_back(reports::gone_vm(vm_id)),
            // Something was missed: how everything is now is told instead.
            Ok(Event::LookAgain) | Err(RecvError::Lagged(_)) => {
                let executor = &session.link.executor;
                executor.report_as(Some(session.identity.agent_id)).await?;
                let outbox_id = executor.look(|tracker: &Tracker| tracker.outbox().id.clone()).await?;
                if outbox_id != self.outbox_id {
                    return Err(Broken::RecordsLost);
                }
                self.outgoing.extend(reports::everything(executor).await?);
                self.results_due = true;
            }
            Err(RecvError::Closed) => return Err(Broken::Executor(NoAnswer)),
        }
        Ok(())
    }

    fn tell_action(&mut self, view: &ActionView) {
        match (view.status, view.started_at) {
            (ActionStatus::Running, Some(started_at)) => {
                let action_id = view.action_id.clone();
                self.outgoing.push_back(FromAgent::Started { action_id, at_ms: started_at.0 });
            }
            (ActionStatus::Running | ActionStatus::Queued | ActionStatus::Delivered, _) => {}
            (
                ActionStatus::Success
                | ActionStatus::Failure
                | ActionStatus::Cancelled
                | ActionStatus::Expired,
                _,
            ) => self.results_due = true,
        }
    }

    /// Says what waits, and that the agent ends on purpose; waits until the control plane has heard it. The executor has
    /// ended by now: what it could not tell is told at the next start.
    async fn goodbye(&mut self, session: &Session<'_>) {
        let said = async {
            self.outgoing.push_back(FromAgent::Goodbye { reason: "the agent was stopped".to_owned() });
            while let Some(message) = self.outgoing.pop_front() {
                self.sender.room().await?.send(message);
            }
            self.sender.close();
            while let Ok(Some(_)) = self.receiver.next().await {}
            Some(())
        };
        if tokio::time::timeout(GOODBYE_DEADLINE, said).await.is_err() {
            let agent_id = session.identity.agent_id;
            tracing::debug!(%agent_id, "the goodbye took too long");
        }
    }
}

/// Counts what came.
fn heard<T>(session: &Session<'_>, said: Result<T, RpcError>) -> Result<T, RpcError> {
    session.context.operations.ended(Operation::NetworkReceive, 0, Duration::ZERO, said.is_ok());
    said
}

fn elapsed_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Up to which result everything was told. When the control plane has less than it had acknowledged, a backup was put back, and
/// what came after it is told again.
fn told_up_to(acknowledged: u64, recorded: Option<u64>) -> u64 {
    match recorded {
        Some(recorded) if recorded < acknowledged => {
            tracing::warn!(
                acknowledged,
                recorded,
                "the control plane lacks results that it had: they are told again"
            );
            recorded
        }
        Some(_) | None => acknowledged,
    }
}
