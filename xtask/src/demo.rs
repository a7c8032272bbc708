//! `cargo xtask demo`: everything that stands, shown on this machine, each step checked.

use std::io::stdin;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::agent::{Host, alive, build, holds, on, until, vm_id};
use crate::interrupt;
use crate::setup::{self, QEMU};

/// A paused guest is watched for this long; running, it would tick meanwhile.
const SILENCE: Duration = Duration::from_millis(1_500);

/// Shows everything; ends then with `once`, else when Enter or Ctrl-C is pressed. Whatever happens, it cleans up.
pub fn run(once: bool) -> Result<()> {
    setup::ensure(&[QEMU])?;
    interrupt::watch()?;
    let program = build(false)?;
    let mut host = Host::new(&program)?;
    let show = Show { began: Instant::now() };
    let shown = show.everything(&mut host, once);
    let left = host.leftovers();
    let dir = host.dir().to_owned();
    drop(host);
    shown?;
    ensure!(left.is_empty(), "processes are left: {left:?}");
    ensure!(!dir.exists(), "{} is left", dir.display());
    show.step("everything is cleaned up: no process, no directory is left");
    Ok(())
}

struct Show {
    began: Instant,
}

impl Show {
    fn step(&self, what: &str) {
        println!("[{:7.3} s] {what}", self.began.elapsed().as_secs_f64());
    }

    fn indented(&self, text: &str) {
        text.lines().for_each(|line| println!("              {line}"));
    }

    fn everything(&self, host: &mut Host, once: bool) -> Result<()> {
        let (web, db) = (vm_id(1), vm_id(2));
        host.start()?;
        self.step(&format!(
            "edge-agent runs (pid {}); its state is in {}",
            host.pid(),
            host.state_dir().display()
        ));
        self.boot(host, &web, "web-1")?;
        self.boot(host, &db, "db-1")?;
        self.indented(&host.says(&["vms"])?);
        self.pause_and_resume(host, &web)?;
        self.stop_and_delete(host, &db)?;
        self.crash_and_adopt(host, &web)?;
        self.metrics_and_history(host)?;
        if !once {
            self.wait_for_enter(host)?;
        }
        self.delete_all(host)?;
        host.stop()?;
        self.step("the agent stopped");
        Ok(())
    }

    fn boot(&self, host: &Host, id: &str, name: &str) -> Result<()> {
        let outcome = host.apply(&host.create(id, name))?;
        expect_state(host, id, "running")?;
        let pid = pid_of(&host.vm(id)?)?;
        ensure!(alive(pid), "process {pid} of {name} is not there");
        let ready = until("READY on the console", || {
            host.console(id).lines().find(|line| line.starts_with("READY")).map(str::to_owned)
        })?;
        self.step(&format!("{name} created in {} ms; its console says: {ready}", outcome["duration_ms"]));
        Ok(())
    }

    fn pause_and_resume(&self, host: &Host, id: &str) -> Result<()> {
        host.apply(&on("MicroVMPause", id))?;
        expect_state(host, id, "paused")?;
        let ticks = host.console(id).len();
        holds("the console of web-1 is silent", SILENCE, || host.console(id).len() == ticks)?;
        self.step("web-1 paused: its console is silent");
        host.apply(&on("MicroVMResume", id))?;
        expect_state(host, id, "running")?;
        until("a tick after resume", || (host.console(id).len() > ticks).then_some(()))?;
        let last = host.console(id).lines().last().unwrap_or_default().to_owned();
        self.step(&format!("web-1 resumed: its console goes on with {last}"));
        Ok(())
    }

    fn stop_and_delete(&self, host: &Host, id: &str) -> Result<()> {
        let pid = pid_of(&host.vm(id)?)?;
        let outcome = host.apply(&on("MicroVMStop", id))?;
        expect_state(host, id, "stopped")?;
        ensure!(!alive(pid), "process {pid} of db-1 is still there");
        self.step(&format!("db-1 heard its power button and stopped in {} ms", outcome["duration_ms"]));
        host.apply(&on("MicroVMDelete", id))?;
        ensure!(!host.vm_dir(id).exists(), "the run directory of db-1 is left");
        self.step("db-1 deleted");
        Ok(())
    }

    fn crash_and_adopt(&self, host: &mut Host, id: &str) -> Result<()> {
        let pid = pid_of(&host.vm(id)?)?;
        host.kill_9()?;
        ensure!(alive(pid), "web-1 did not outlive the agent");
        self.step(&format!("the agent killed with -9; web-1 (pid {pid}) runs on"));
        let began = Instant::now();
        host.start()?;
        let took = began.elapsed();
        let vm = host.vm(id)?;
        ensure!(vm["state"] == "running" && pid_of(&vm)? == pid, "web-1 was not adopted: {vm}");
        self.step(&format!("the agent started again and adopted web-1 within {} ms", took.as_millis()));
        Ok(())
    }

    fn metrics_and_history(&self, host: &Host) -> Result<()> {
        let (status, metrics) = host.scrape("/metrics").context("the metrics endpoint answers")?;
        ensure!(status == 200, "the metrics endpoint answered {status}");
        let running = "nkudo_vms_total{state=\"running\"} 1.0";
        ensure!(metrics.lines().any(|line| line == running), "{running} is not among the metrics");
        let told = [
            "nkudo_vms_total",
            "nkudo_vm_cpu_seconds_total",
            "nkudo_vm_resident_memory_bytes",
            "nkudo_host_",
        ];
        let shown: Vec<&str> =
            metrics.lines().filter(|line| told.iter().any(|name| line.starts_with(name))).collect();
        self.step(&format!("/metrics has {} lines; among them", metrics.lines().count()));
        self.indented(&shown.join("\n"));
        let history = host.json(&["executions"])?;
        let count = history["items"].as_array().map_or(0, Vec::len);
        ensure!(count == 6, "six executions are in the history, not {count}: {history}");
        self.step("the history, which survived the crash");
        self.indented(&host.says(&["executions"])?);
        self.step("and the status");
        self.indented(&host.says(&["status"])?);
        Ok(())
    }

    fn wait_for_enter(&self, host: &Host) -> Result<()> {
        self.step("try it yourself in another terminal:");
        let command = host.command(&[]);
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        for example in ["vms", "status", "executions", "health", "metrics --name nkudo_vm", "check"] {
            self.indented(&format!("{} {example}", words.join(" ")));
        }
        println!("Press Enter or Ctrl-C to end the demo and clean up.");
        let (pressed, enter) = sync_channel(1);
        // Nothing interrupts a read of the terminal; the thread ends with the program.
        std::thread::spawn(move || pressed.send(stdin().read_line(&mut String::new())));
        loop {
            match enter.recv_timeout(Duration::from_millis(50)) {
                Ok(read) => return Ok(read.map(drop)?),
                Err(RecvTimeoutError::Timeout) if !interrupt::asked() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Also what was created in another terminal.
    fn delete_all(&self, host: &Host) -> Result<()> {
        for vm in host.vms()? {
            let id = vm["vm_id"].as_str().context("a vm has an id")?;
            host.apply(&on("MicroVMDelete", id))?;
            ensure!(!host.vm_dir(id).exists(), "the run directory of {} is left", vm["vm_name"]);
            self.step(&format!("{} deleted", vm["vm_name"].as_str().unwrap_or(id)));
        }
        Ok(())
    }
}

fn expect_state(host: &Host, id: &str, state: &str) -> Result<()> {
    let vm = host.vm(id)?;
    if vm["state"] == state { Ok(()) } else { bail!("vm {id} is {}, not {state}", vm["state"]) }
}

fn pid_of(vm: &Value) -> Result<u32> {
    let pid = vm["pid"].as_u64().with_context(|| format!("{vm} has a process"))?;
    Ok(u32::try_from(pid)?)
}
