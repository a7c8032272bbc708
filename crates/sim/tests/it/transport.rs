//! The real wire between agent and control plane, tonic over mutual TLS, on a network of turmoil's that breaks as a seed says.
//!
//! Both ends of the wire are `nkudo-rpc`'s, what is sent when is decided by `nkudo-fleet`'s code, and the rest is glue as thin as
//! agent and control plane have it: what a host did and what the books say outlive every restart. TCP comes in order and once here,
//! as anywhere; a segment that a partition swallows is never sent again, so that its stream has to be found dead.

mod agent;
mod books;
mod control;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nkudo_pki::{AgentIdentity, Authority, PrivateKey};
use turmoil::{Builder, Sim};

use self::agent::Host;
use self::books::Books;

/// Runs of a test run, each from its seed.
const SEEDS: u64 = 50;
/// Actions of a run.
const ACTIONS: u64 = 30;
/// Faults of a run.
const FAULTS: u64 = 8;
/// Actions are asked for, and faults come, within so long.
const FIRE_MS: u64 = 40_000;
/// The longest fault.
const FAULT_MS: u64 = 15_000;
/// Everything must have come to rest by then.
const REST: Duration = Duration::from_secs(300);
/// The network's clock.
const TICK: Duration = Duration::from_millis(10);

const CONTROL: &str = "control";
const AGENT: &str = "agent";

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Nothing arrives, either way, and what was on its way is lost.
    Partition,
    /// Only what the agent says is lost, or only what it is told.
    OneWay {
        to_agent: bool,
    },
    /// Nothing arrives until the end of it, then everything.
    Hold,
    /// Each message takes its time.
    Slow,
    /// Programs end where they are, and start again.
    ControlKilled,
    AgentKilled,
}

impl Fault {
    fn of(chance: &mut Chance) -> Self {
        match chance.below(6) {
            0 => Self::Partition,
            1 => Self::OneWay { to_agent: chance.below(2) == 0 },
            2 => Self::Hold,
            3 => Self::Slow,
            4 => Self::ControlKilled,
            _ => Self::AgentKilled,
        }
    }

    fn begin(self, sim: &mut Sim<'_>) {
        match self {
            Self::Partition => sim.partition(AGENT, CONTROL),
            Self::OneWay { to_agent: true } => sim.partition_oneway(CONTROL, AGENT),
            Self::OneWay { to_agent: false } => sim.partition_oneway(AGENT, CONTROL),
            Self::Hold => sim.hold(AGENT, CONTROL),
            Self::Slow => sim.set_link_max_message_latency(AGENT, CONTROL, Duration::from_secs(2)),
            Self::ControlKilled => sim.crash(CONTROL),
            Self::AgentKilled => sim.crash(AGENT),
        }
    }

    fn end(self, sim: &mut Sim<'_>) {
        match self {
            Self::Partition | Self::OneWay { .. } => sim.repair(AGENT, CONTROL),
            Self::Hold => sim.release(AGENT, CONTROL),
            Self::Slow => sim.set_link_max_message_latency(AGENT, CONTROL, Duration::from_millis(50)),
            Self::ControlKilled => sim.bounce(CONTROL),
            Self::AgentKilled => sim.bounce(AGENT),
        }
    }
}

/// How a run came out.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    rested_after: Duration,
    links: u64,
    results_repeated: u64,
}

/// What did not hold.
#[derive(Debug)]
struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The certificates of a fleet: made once, as time there is real.
struct Certificates {
    server: Arc<rustls::ServerConfig>,
    agent: Arc<rustls::ClientConfig>,
}

impl Certificates {
    fn make() -> Self {
        let (now_ms, lifetime) = (nkudo_host::clock::wall_ms(), Duration::from_secs(3_600));
        let (authority, _) = Authority::create(now_ms).unwrap();
        let (server, server_key) = authority.sign_server(&[CONTROL.to_owned()], lifetime, now_ms).unwrap();
        let key = PrivateKey::generate().unwrap();
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let identity = AgentIdentity {
            tenant_id: id.parse().unwrap(),
            site_id: id.parse().unwrap(),
            agent_id: id.parse().unwrap(),
        };
        let agent = authority.sign_agent(&key.request().unwrap(), &identity, lifetime, now_ms).unwrap();
        let ca = authority.certificate_pem();
        let chain = format!("{}{ca}", server.certificate_pem);
        Self {
            server: nkudo_pki::server_config(ca, &chain, &server_key).unwrap(),
            agent: nkudo_pki::agent_client(ca, &agent.certificate_pem, &key).unwrap(),
        }
    }
}

/// Plays one run to its end, and judges it.
fn play(seed: u64, certificates: &Certificates) -> Result<Report, Broken> {
    let mut chance = Chance(seed);
    let mut sim = Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(50))
        .simulation_duration(REST * 2)
        .tcp_capacity(1_024)
        .build();
    let (books, host) = (Arc::new(Mutex::new(Books::default())), Arc::new(Mutex::new(Host::default())));
    let (server, of_server) = (Arc::clone(&certificates.server), Arc::clone(&books));
    sim.host(CONTROL, move || control::serve(Arc::clone(&of_server), Arc::clone(&server)));
    let (client, of_agent, jitter) = (Arc::clone(&certificates.agent), Arc::clone(&host), chance.next());
    sim.host(AGENT, move || agent::run(Arc::clone(&of_agent), Arc::clone(&client), jitter));

    let mut asks: Vec<u64> = (0..ACTIONS).map(|_| chance.below(FIRE_MS)).collect();
    asks.sort_unstable();
    // One at a time: what a fault ends, it began.
    let mut at_ms = 500;
    let faults: Vec<(u64, u64, Fault)> = (0..FAULTS)
        .map(|_| {
            let begin_ms = at_ms + chance.below(FIRE_MS / FAULTS);
            at_ms = begin_ms + 100 + chance.below(FAULT_MS);
            (begin_ms, at_ms, Fault::of(&mut chance))
        })
        .collect();
    let (mut next_ask, mut next_fault, mut under) = (asks.into_iter().peekable(), faults.into_iter(), None);
    let mut fault = next_fault.next();
    loop {
        let now_ms = u64::try_from(sim.elapsed().as_millis()).unwrap();
        while next_ask.next_if(|at_ms| *at_ms <= now_ms).is_some() {
            books.lock().unwrap().ask();
        }
        match (fault, under) {
            (Some((begin_ms, end_ms, what)), None) if begin_ms <= now_ms => {
                what.begin(&mut sim);
                under = Some((end_ms, what));
                fault = next_fault.next();
            }
            (_, Some((end_ms, what))) if end_ms <= now_ms => {
                what.end(&mut sim);
                under = None;
            }
            _ => {}
        }
        sim.step().map_err(|error| Broken(format!("a program ended: {error}")))?;
        let quiet = fault.is_none() && under.is_none() && next_ask.peek().is_none();
        if quiet && at_rest(&books, &host) {
            break;
        }
        if sim.elapsed() > REST {
            let told = format!("{:?}\n{:?}", books.lock().unwrap(), host.lock().unwrap());
            return Err(Broken(format!("it has not come to rest after {REST:?}: {told}")));
        }
    }
    let (books, host) = (books.lock().unwrap(), host.lock().unwrap());
    judge(&books, &host)?;
    Ok(Report { rested_after: sim.elapsed(), links: books.links, results_repeated: books.results_repeated })
}

/// Everything asked for has ended, everybody knows of it, and there is a link.
fn at_rest(books: &Mutex<Books>, host: &Mutex<Host>) -> bool {
    let (books, host) = (books.lock().unwrap(), host.lock().unwrap());
    books.all_ended() && host.owes_nothing() && host.linked
}

fn judge(books: &Books, host: &Host) -> Result<(), Broken> {
    let breaks = |what: String| Err(Broken(what));
    if let Some(broken) = &books.broken {
        return breaks(broken.clone());
    }
    let asked: BTreeSet<_> = books.asked().collect();
    for (action_id, times) in &host.performed {
        if *times != 1 || !asked.contains(action_id) {
            return breaks(format!("{action_id} was performed {times} times"));
        }
    }
    for (action_id, times) in books.recorded() {
        if times != 1 {
            return breaks(format!("the result of {action_id} was recorded {times} times"));
        }
    }
    if host.performed.len() != asked.len() {
        return breaks(format!("{} of {} actions were performed", host.performed.len(), asked.len()));
    }
    Ok(())
}

#[test]
fn each_result_is_recorded_once_and_acknowledged_whatever_the_network_does() {
    let certificates = Certificates::make();
    let (mut links, mut repeated) = (0, 0);
    for seed in 0..SEEDS {
        match play(seed, &certificates) {
            Ok(report) => {
                links += report.links;
                repeated += report.results_repeated;
            }
            Err(broken) => panic!("seed {seed}: {broken}"),
        }
    }
    // The faults did something: links broke, and results were sent again whose acknowledgement was lost.
    assert!(links > 2 * SEEDS && repeated > 0, "{links} links, {repeated} results came again");
}

#[test]
fn a_run_goes_the_same_way_each_time() {
    let certificates = Certificates::make();
    for seed in 1..4 {
        let first = play(seed, &certificates).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        assert_eq!(first, play(seed, &certificates).unwrap(), "seed {seed}");
    }
}

#[test]
fn a_result_that_is_recorded_twice_or_never_is_found() {
    let (mut books, mut host) = (Books::default(), Host::default());
    let action_id = books.ask();
    host.performed.insert(action_id.clone(), 1);
    assert!(judge(&books, &host).is_err(), "never recorded");
    books.record(1, &action_id);
    assert!(judge(&books, &host).is_ok());
    // The same again changes nothing; under another number it is another.
    books.record(1, &action_id);
    assert!(judge(&books, &host).is_ok());
    books.record(2, &action_id);
    assert!(judge(&books, &host).is_err(), "recorded twice");
    let (mut books, mut host) = (Books::default(), Host::default());
    let action_id = books.ask();
    host.performed.insert(action_id.clone(), 2);
    books.record(1, &action_id);
    assert!(judge(&books, &host).is_err(), "performed twice");
    let mut books = Books::default();
    let action_id = books.ask();
    books.record(2, &action_id);
    assert!(books.broken.is_some(), "a result is missing before it");
}
