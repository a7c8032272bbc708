//! One suite that every provider passes.
//!
//! [`run`] does to real VMs of a provider what an agent does, and compares what the provider answers with evidence
//! that does not come from it: what the guest says, which processes live, which files are left. What a provider
//! claims without its being so is a [`Finding`].

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nkudo_domain::{Exit, Observation, VmId, VmSpec};
use nkudo_host::process;
use tokio::time::{Instant, sleep, timeout};

use crate::error::ProviderError;
use crate::provider::Provider;

/// How long one check may take.
const CHECK_DEADLINE: Duration = Duration::from_secs(60);
/// How long something that must come about may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon it is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A paused guest is watched for so long; a running one shows more than one sign of life in it.
const STANDSTILL: Duration = Duration::from_millis(2500);
/// How soon the end of a process is to be noticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);
/// After so long a deed is dropped, in turn.
const DROPPED_AFTER_MS: [u64; 7] = [0, 1, 3, 8, 20, 50, 120];

/// What the suite needs of a provider's surroundings. What is none cannot be had, and what needs it is left out.
pub struct Fixture<'a> {
    /// A specification that boots, of another VM each time.
    pub spec: &'a (dyn Fn() -> VmSpec + Sync),
    /// A second provider over the same state, as of a program that was started again.
    pub another: &'a (dyn Fn() -> Arc<dyn Provider> + Sync),
    /// What is left of a VM on the host, a line for each thing: processes, directories, records.
    pub leftovers: &'a (dyn Fn(VmId) -> Vec<String> + Sync),
    /// How many signs of life the guest has given, from the guest itself.
    pub signs_of_life: Option<&'a (dyn Fn(VmId) -> u64 + Sync)>,
    /// Kills the VM's process behind the provider's back.
    pub kill: Option<&'a (dyn Fn(VmId) + Sync)>,
    /// Makes the guest power off, behind the provider's back.
    pub guest_power_off: Option<&'a (dyn Fn(VmId) + Sync)>,
}

/// Something that a provider does not do as it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub detail: String,
}

/// Runs every check, one after the other, and tells what was found wrong. It leaves no VM behind.
pub async fn run(provider: &dyn Provider, fixture: &Fixture<'_>) -> Vec<Finding> {
    let suite = Suite { provider, fixture, made: Mutex::default(), findings: Mutex::default() };
    suite.check("a whole life", suite.whole_life()).await;
    suite.check("asked twice", suite.asked_twice()).await;
    suite.check("refusals", suite.refusals()).await;
    suite.check("a kill is noticed", suite.kill_is_noticed()).await;
    suite.check("the guest powers off", suite.guest_powers_off()).await;
    suite.check("dropped half-way", suite.dropped_half_way()).await;
    suite.check("adoption", suite.adoption()).await;
    suite.findings.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Fixture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.detail)
    }
}

type Checked = Result<(), String>;

struct Suite<'a> {
    provider: &'a dyn Provider,
    fixture: &'a Fixture<'a>,
    /// The VMs of the check that runs.
    made: Mutex<Vec<VmId>>,
    findings: Mutex<Vec<Finding>>,
}

impl Suite<'_> {
    async fn check(&self, check: &'static str, steps: impl Future<Output = Checked>) {
        let outcome = match timeout(CHECK_DEADLINE, Box::pin(steps)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("not done within {} s", CHECK_DEADLINE.as_secs())),
        };
        let mut details: Vec<String> = outcome.err().into_iter().collect();
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for vm_id in made {
            details.extend(self.is_deleted(vm_id).await.err());
        }
        let found = details.into_iter().map(|detail| Finding { check, detail });
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }

    fn new_spec(&self) -> VmSpec {
        let spec = (self.fixture.spec)();
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(spec.vm_id);
        spec
    }

    async fn running(&self) -> Result<VmSpec, String> {
        let spec = self.new_spec();
        done("create", self.provider.create(&spec).await)?;
        done("boot", self.provider.boot(&spec).await)?;
        self.is(spec.vm_id, Observation::Running).await?;
        Ok(spec)
    }

    async fn whole_life(&self) -> Checked {
        let (provider, spec) = (self.provider, self.new_spec());
        let vm_id = spec.vm_id;
        self.is(vm_id, Observation::Absent).await?;
        done("create", provider.create(&spec).await)?;
        self.is(vm_id, Observation::Stopped(None)).await?;
        self.is_listed(vm_id, true).await?;
        require(provider.spec(vm_id).await.as_ref() == Some(&spec), || "another spec is told".to_owned())?;
        require(provider.counters(vm_id).await.is_none(), || "it counts without a process".to_owned())?;

        done("boot", provider.boot(&spec).await)?;
        self.is(vm_id, Observation::Running).await?;
        self.lives(vm_id).await?;
        require(provider.counters(vm_id).await.is_some(), || "nothing is counted".to_owned())?;

        done("pause", provider.pause(vm_id).await)?;
        self.is(vm_id, Observation::Paused).await?;
        self.stands_still(vm_id).await?;
        done("resume", provider.resume(vm_id).await)?;
        self.is(vm_id, Observation::Running).await?;
        self.lives(vm_id).await?;

        done("rotate", provider.rotate(vm_id).await)?;
        done("power off", provider.power_off(vm_id, Duration::from_millis(300)).await)?;
        self.is_stopped(vm_id).await?;
        done("boot", provider.boot(&spec).await)?;
        self.is(vm_id, Observation::Running).await?;
        done("pause", provider.pause(vm_id).await)?;
        done("force off", provider.force_off(vm_id).await)?;
        self.is(vm_id, Observation::Stopped(None)).await?;
        done("boot", provider.boot(&spec).await)?;
        self.is_deleted(vm_id).await
    }

    async fn asked_twice(&self) -> Checked {
        let (provider, spec) = (self.provider, self.new_spec());
        let vm_id = spec.vm_id;
        done("delete of an absent vm", provider.delete(vm_id).await)?;
        done("create", provider.create(&spec).await)?;
        done("second create", provider.create(&spec).await)?;
        done("force off of a stopped vm", provider.force_off(vm_id).await)?;
        done("power off of a stopped vm", provider.power_off(vm_id, Duration::ZERO).await)?;
        self.is(vm_id, Observation::Stopped(None)).await?;
        done("boot", provider.boot(&spec).await)?;
        done("create of a living vm", provider.create(&spec).await)?;
        done("resume of a running vm", provider.resume(vm_id).await)?;
        done("pause", provider.pause(vm_id).await)?;
        done("second pause", provider.pause(vm_id).await)?;
        self.is(vm_id, Observation::Paused).await?;
        self.is_deleted(vm_id).await?;
        self.is_deleted(vm_id).await
    }

    async fn refusals(&self) -> Checked {
        let (provider, absent) = (self.provider, self.new_spec());
        refused("boot of an absent vm", &provider.boot(&absent).await)?;
        refused("pause of an absent vm", &provider.pause(absent.vm_id).await)?;
        self.is(absent.vm_id, Observation::Absent).await?;

        let fine = self.new_spec();
        let without_kernel = VmSpec { kernel: fine.kernel.join("missing"), ..fine.clone() };
        refused("create without a kernel", &provider.create(&without_kernel).await)?;
        self.is(fine.vm_id, Observation::Absent).await?;
        self.nothing_is_left(fine.vm_id)?;
        done("create", provider.create(&fine).await)?;
        refused("pause of a stopped vm", &provider.pause(fine.vm_id).await)?;
        refused("resume of a stopped vm", &provider.resume(fine.vm_id).await)?;
        self.is(fine.vm_id, Observation::Stopped(None)).await?;

        let living = self.running().await?;
        let before = provider.identity(living.vm_id);
        match provider.boot(&living).await {
            Err(ProviderError::StillAlive { .. }) => {}
            other => return Err(format!("boot over a living vm: {other:?}")),
        }
        self.is(living.vm_id, Observation::Running).await?;
        let after = provider.identity(living.vm_id);
        require(before == after, || format!("a refused boot made {before:?} into {after:?}"))
    }

    async fn kill_is_noticed(&self) -> Checked {
        let Some(kill) = self.fixture.kill else { return Ok(()) };
        let spec = self.running().await?;
        let exit = self.exit_after(spec.vm_id, kill, NOTICED_WITHIN).await?;
        require(matches!(exit, Exit::Died(_)), || format!("after a kill it says {exit:?}"))?;
        self.is(spec.vm_id, Observation::Stopped(Some(exit))).await?;
        done("boot after a kill", self.provider.boot(&spec).await)?;
        self.is(spec.vm_id, Observation::Running).await
    }

    async fn guest_powers_off(&self) -> Checked {
        let Some(power_off) = self.fixture.guest_power_off else { return Ok(()) };
        let spec = self.running().await?;
        // Only a guest that has come up hears.
        self.lives(spec.vm_id).await?;
        let exit = self.exit_after(spec.vm_id, power_off, PATIENCE).await?;
        require(exit == Exit::GuestPoweredOff, || format!("after a power-off it says {exit:?}"))?;
        self.is(spec.vm_id, Observation::Stopped(Some(exit))).await?;
        // As a program sees it that was started after the end.
        let another = (self.fixture.another)();
        let seen = another.observe(spec.vm_id).await.map_err(|error| error.to_string())?;
        require(seen == Observation::Stopped(Some(Exit::GuestPoweredOff)), || {
            format!("later it is {seen:?}")
        })?;
        done("force off", self.provider.force_off(spec.vm_id).await)?;
        self.is(spec.vm_id, Observation::Stopped(None)).await
    }

    async fn dropped_half_way(&self) -> Checked {
        for after_ms in DROPPED_AFTER_MS {
            let spec = self.new_spec();
            let begun = async {
                done("create", self.provider.create(&spec).await)?;
                done("boot", self.provider.boot(&spec).await)
            };
            if let Ok(early) = timeout(Duration::from_millis(after_ms), begun).await {
                early?;
            }
            // It is understood what is there: the deed can be asked again from it, or undone.
            done("force off", self.provider.force_off(spec.vm_id).await)?;
            done("create", self.provider.create(&spec).await)?;
            drop(timeout(Duration::from_millis(after_ms), self.provider.boot(&spec)).await);
            drop(timeout(Duration::from_millis(after_ms), self.provider.delete(spec.vm_id)).await);
            self.is_deleted(spec.vm_id)
                .await
                .map_err(|wrong| format!("dropped after {after_ms} ms: {wrong}"))?;
        }
        Ok(())
    }

    async fn adoption(&self) -> Checked {
        let spec = self.running().await?;
        let vm_id = spec.vm_id;
        let before = self.provider.identity(vm_id);
        let another = (self.fixture.another)();
        let later = Suite {
            provider: &*another,
            fixture: self.fixture,
            made: Mutex::default(),
            findings: Mutex::default(),
        };
        later.is(vm_id, Observation::Running).await?;
        later.is_listed(vm_id, true).await?;
        let after = another.identity(vm_id);
        require(before == after, || format!("{before:?} was adopted as {after:?}"))?;
        require(another.spec(vm_id).await.as_ref() == Some(&spec), || "another spec is told".to_owned())?;
        refused("boot over an adopted vm", &another.boot(&spec).await)?;
        done("pause", another.pause(vm_id).await)?;
        later.is(vm_id, Observation::Paused).await?;
        done("resume", another.resume(vm_id).await)?;
        later.is(vm_id, Observation::Running).await?;
        later.lives(vm_id).await?;
        if let Some(kill) = self.fixture.kill {
            let exit = later.exit_after(vm_id, kill, NOTICED_WITHIN).await?;
            require(matches!(exit, Exit::Died(_)), || format!("after a kill it says {exit:?}"))?;
            done("boot", another.boot(&spec).await)?;
            later.is(vm_id, Observation::Running).await?;
        }
        later.is_deleted(vm_id).await
    }

    /// What the provider says of an end that is brought about while it watches.
    async fn exit_after(
        &self,
        vm_id: VmId,
        end: &(dyn Fn(VmId) + Sync),
        within: Duration,
    ) -> Result<Exit, String> {
        let mut watch = self.provider.exited(vm_id);
        if let Ok(early) = timeout(LOOK_AGAIN, &mut watch).await {
            return Err(format!("a living vm is said to have ended: {early:?}"));
        }
        end(vm_id);
        let exit = timeout(within, watch).await;
        exit.map_err(|_| format!("its end is not noticed within {} ms", within.as_millis()))
    }

    async fn is(&self, vm_id: VmId, expected: Observation) -> Checked {
        let seen = self.provider.observe(vm_id).await.map_err(|error| format!("observe: {error}"))?;
        require(seen == expected, || format!("it is {seen:?} and should be {expected:?}"))?;
        match expected {
            Observation::Running | Observation::Paused => self.has_process(vm_id),
            Observation::Absent | Observation::Stopped(_) | Observation::Unresponsive => Ok(()),
        }
    }

    async fn is_stopped(&self, vm_id: VmId) -> Checked {
        let seen = self.provider.observe(vm_id).await.map_err(|error| format!("observe: {error}"))?;
        require(matches!(seen, Observation::Stopped(_)), || format!("it is {seen:?} and should be stopped"))?;
        let identity = self.provider.identity(vm_id);
        require(identity.is_none(), || format!("it is stopped and has {identity:?}"))
    }

    /// A provider that tells of a process tells of a living one.
    fn has_process(&self, vm_id: VmId) -> Checked {
        match self.provider.identity(vm_id) {
            Some(identity) if !process::is_alive(identity) => Err(format!("{identity:?} is not alive")),
            Some(_) | None => Ok(()),
        }
    }

    async fn is_listed(&self, vm_id: VmId, expected: bool) -> Checked {
        let listed = self.provider.list().await.map_err(|error| format!("list: {error}"))?.contains(&vm_id);
        require(listed == expected, || format!("listed: {listed}, and should be {expected}"))
    }

    async fn is_deleted(&self, vm_id: VmId) -> Checked {
        done("delete", self.provider.delete(vm_id).await)?;
        self.is(vm_id, Observation::Absent).await?;
        self.is_listed(vm_id, false).await?;
        self.nothing_is_left(vm_id)
    }

    fn nothing_is_left(&self, vm_id: VmId) -> Checked {
        let left = (self.fixture.leftovers)(vm_id);
        require(left.is_empty(), || format!("left on the host: {}", left.join(", ")))
    }

    async fn lives(&self, vm_id: VmId) -> Checked {
        let Some(signs) = self.fixture.signs_of_life else { return Ok(()) };
        let (before, patient_until) = (signs(vm_id), Instant::now() + PATIENCE);
        while signs(vm_id) == before {
            require(Instant::now() < patient_until, || "the guest gives no sign of life".to_owned())?;
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn stands_still(&self, vm_id: VmId) -> Checked {
        let Some(signs) = self.fixture.signs_of_life else { return Ok(()) };
        let (before, watched_until) = (signs(vm_id), Instant::now() + STANDSTILL);
        while Instant::now() < watched_until {
            require(signs(vm_id) == before, || "a paused guest gives signs of life".to_owned())?;
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn done(deed: &str, result: Result<(), ProviderError>) -> Checked {
    result.map_err(|error| format!("{deed}: {error}"))
}

fn refused(deed: &str, result: &Result<(), ProviderError>) -> Checked {
    require(result.is_err(), || format!("{deed} is not refused"))
}
