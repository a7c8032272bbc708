//! `cargo xtask chaos --real`: the programs themselves, killed at drawn moments while real microVMs come and go.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::chance::Chance;
use super::commands::{self, AskedCommand};
use super::evidence::{self, Before};
use super::fire::{self, Operator};
use super::judge::{self, Breach};
use super::lives::{self, Asked, Leg};
use super::{Figures, Tried};
use crate::agent::{Host, on, vm_id};
use crate::fleet::{ControlPlane, Programs, build};
use crate::interrupt;
use crate::setup::{self, QEMU};

/// VMs of a round.
const VMS: u32 = 8;
/// Commands of a round.
const COMMANDS: u32 = 6;
/// Strikes of a round; some kill both programs.
const STRIKES: u32 = 10;
/// What should pass is waited for so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Kills so many programs, and says what came of it.
pub fn run(kills: u64, seed: u64, json: Option<&Path>) -> Result<()> {
    setup::ensure(&[QEMU])?;
    interrupt::watch()?;
    let programs = build(false)?;
    println!("seed {seed}; each round has one of its own from it");
    println!(
        "| round | seed | kills | actions | lost | doubled | orphans | leaks | s |\n|---|---|---|---|---|---|---|---|---|"
    );
    let mut fire = Fire::light(&programs)?;
    let mut figures = Figures::new(Tried::Kills(0));
    let (began, mut killed, mut round) = (Instant::now(), 0, 0);
    while killed < kills {
        let round_began = Instant::now();
        let round_seed = seed.wrapping_add(round);
        round += 1;
        let told = fire.round(round_seed, STRIKES, kills - killed)?;
        killed += told.killed;
        figures.tried = Tried::Kills(killed);
        figures.actions += told.actions;
        figures.count(round_seed, &told.breaches);
        let mut row = Figures::new(Tried::Kills(told.killed));
        row.count(round_seed, &told.breaches);
        println!(
            "| {round} | {round_seed} | {} | {} | {} | {} | {} | {} | {:.1} |",
            told.killed,
            told.actions,
            row.lost,
            row.doubled,
            row.orphans,
            row.leaks,
            round_began.elapsed().as_secs_f64()
        );
        told.breaches.iter().for_each(|breach| println!("{breach}"));
    }
    println!("{killed} kills, {} actions, {:.0} s", figures.actions, began.elapsed().as_secs_f64());
    figures.write(json)?;
    if !figures.failed_seeds.is_empty() {
        bail!(
            "broken under seeds {:?}; in kind again with: cargo xtask chaos --real --kills {STRIKES} --seed N",
            figures.failed_seeds
        );
    }
    Ok(())
}

/// What a round came to.
#[derive(Debug)]
pub struct Told {
    pub killed: u64,
    pub actions: u64,
    pub breaches: Vec<Breach>,
}

/// A control plane and a host with real microVMs, to be played with.
#[derive(Debug)]
pub struct Fire {
    control: ControlPlane,
    host: Host,
    operator: Operator,
    before: Before,
}

impl Fire {
    /// Starts both, enrols the host, and has it run a VM once, so that everything is there that is there for good.
    pub fn light(programs: &Programs) -> Result<Self> {
        let mut control = ControlPlane::new(programs, &["--heartbeat-interval", "500ms"])?;
        control.start()?;
        let mut host = Host::new(&programs.edge_agent)?;
        host.configure(&format!("parallel_actions = 4\n{}", commands::ALLOWED))?;
        std::fs::create_dir_all(commands::dir(&host))?;
        host.start()?;
        let agent_id = control.enrol(&host)?;
        control.wait_presence(&agent_id, "online")?;
        let operator = Operator::of(&control, &host, &agent_id)?;
        let first = vm_id(0);
        for (action_id, mut body) in
            [("first", host.create(&first, "first")), ("last", on("MicroVMDelete", &first))]
        {
            body["action_id"] = json!(action_id);
            operator.ask(&body)?;
            operator.wait_ended([action_id])?;
        }
        // What programs keep in memory for a while is on their disks when they have been stopped.
        host.stop()?;
        control.stop()?;
        control.start()?;
        host.start()?;
        let before = Before::of(&control, &host);
        Ok(Self { control, host, operator, before })
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Plays the lives of some VMs under so many strikes, with at most so many kills, and judges them.
    pub fn round(&mut self, seed: u64, strikes: u32, kills_max: u64) -> Result<Told> {
        let mut chance = Chance::new(seed);
        let prefix = format!("s{seed}.");
        let lives: Vec<Vec<Leg>> =
            (0..VMS).map(|number| self.life(&mut chance, &prefix, seed, number)).collect();
        let dir = commands::dir(&self.host);
        let commands: Vec<AskedCommand> = (0..COMMANDS)
            .map(|number| commands::draw(&mut chance, format!("{prefix}c{number}"), &dir))
            .collect();
        let operator = &self.operator;
        let (control, host) = (&mut self.control, &mut self.host);
        let (mut breaches, killed) = fire::under(
            operator,
            || play(operator, &lives, &commands),
            || fire::kill(control, host, &mut chance, strikes, kills_max, || operator.has_given_up()),
        )
        .with_context(|| format!("the round with seed {seed} came to no end"))?;
        let asked: Vec<&Asked> = lives.iter().flatten().flat_map(|leg| &leg.asked).collect();
        breaches.extend(self.judge_books(&prefix, &asked, &commands)?);
        breaches.extend(self.judge_remains()?);
        Ok(Told { killed, actions: (asked.len() + commands.len()) as u64, breaches })
    }

    /// One life; every third VM begins a leg later, so that some are deleted while others are made.
    fn life(&self, chance: &mut Chance, prefix: &str, seed: u64, number: u32) -> Vec<Leg> {
        let vm_id = vm_id(u32::try_from(seed % 1_000_000).unwrap_or_default() * 100 + number + 1);
        let create = self.host.create(&vm_id, &format!("v{}", vm_id.replace('-', "")));
        lives::draw(chance, &format!("{prefix}{number}"), &vm_id, &create)
    }

    /// What everybody says of each action. Results travel for a moment after the last kill.
    fn judge_books(&self, prefix: &str, asked: &[&Asked], commands: &[AskedCommand]) -> Result<Vec<Breach>> {
        let dir = commands::dir(&self.host);
        fire::settled(PATIENCE, || {
            let groups = evidence::control_groups();
            let mut known = evidence::known(&self.control, &self.host, prefix)?;
            let mut of = |asked: &&Asked| {
                let known = known.remove(&asked.action_id).unwrap_or_default();
                judge::action(&asked.action_id, asked.expected, &known)
            };
            let mut breaches: Vec<Breach> = asked.iter().flat_map(&mut of).collect();
            for AskedCommand { action_id, .. } in commands {
                let known = known.remove(action_id).unwrap_or_default();
                breaches.extend(judge::command(action_id, commands::ran(&dir, action_id), &known));
                let of_it = |group: &&PathBuf| group.to_string_lossy().ends_with(&format!("-{action_id}"));
                let left = groups.iter().filter(of_it).map(|group| format!("{} is left", group.display()));
                breaches.extend(judge::left(&[], &left.collect()));
            }
            Ok(breaches)
        })
    }

    /// What is there although every VM was deleted.
    pub fn judge_remains(&self) -> Result<Vec<Breach>> {
        fire::settled(PATIENCE, || {
            let mut things = self.before.leaks(&self.control, &self.host);
            let (booked, held) = (self.control.list("/v1/vms")?, self.host.vms()?);
            things.extend(booked.iter().map(|vm| format!("vm {} is in the books", vm["vm_id"])));
            things.extend(held.iter().map(|vm| format!("vm {} is held by the agent", vm["vm_id"])));
            Ok(judge::left(&self.host.leftovers(), &things))
        })
    }
}

/// Asks for everything, leg by leg, and looks at each VM between them. Commands go beside: they wait for each other only.
fn play(operator: &Operator, lives: &[Vec<Leg>], commands: &[AskedCommand]) -> Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    commands.iter().try_for_each(|command| operator.ask(&command.body))?;
    let stagger = |number: usize| number % 3;
    let turns =
        lives.iter().enumerate().map(|(number, legs)| stagger(number) + legs.len()).max().unwrap_or(0);
    for turn in 0..turns {
        let of =
            |(number, legs): (usize, &'_ Vec<Leg>)| legs.get(turn.checked_sub(stagger(number))?).cloned();
        let legs: Vec<Leg> = lives.iter().enumerate().filter_map(of).collect();
        let most = legs.iter().map(|leg| leg.asked.len()).max().unwrap_or(0);
        for number in 0..most {
            for asked in legs.iter().filter_map(|leg| leg.asked.get(number)) {
                operator.ask(&asked.body)?;
            }
        }
        operator.wait_ended(legs.iter().flat_map(|leg| &leg.asked).map(|asked| asked.action_id.as_str()))?;
        breaches.extend(look(operator, &legs)?);
    }
    operator.wait_ended(commands.iter().map(|command| command.action_id.as_str()))?;
    Ok(breaches)
}

/// Looks at the VMs between two legs. A hypervisor tells a moment later, and the end of a process takes one.
fn look(operator: &Operator, legs: &[Leg]) -> Result<Vec<Breach>> {
    let state_dir = &operator.state_dir;
    fire::settled(PATIENCE, || {
        let hypervisors = evidence::hypervisors(state_dir);
        let of =
            |leg: &Leg| judge::vm(&leg.after, &evidence::seen(state_dir, &leg.after.vm_id, &hypervisors));
        Ok(legs.iter().flat_map(of).collect())
    })
}
