//! `cargo xtask demo`: everything that stands, shown on this machine, each step checked.

use std::io::stdin;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::agent::{Host, alive, holds, on, until, vm_id};
use crate::fleet::{self, ControlPlane};
use crate::interrupt;
use crate::setup::{self, QEMU};

/// Memory of a VM of the test guest, in bytes.
const VM_MEMORY_BYTES: u64 = 32 << 20;
/// A paused guest is watched for this long; running, it would tick meanwhile.
const SILENCE: Duration = Duration::from_millis(1_500);

/// Shows everything; ends then with `once`, else when Enter or Ctrl-C is pressed. Whatever happens, it cleans up.
pub fn run(once: bool) -> Result<()> {
    setup::ensure(&[QEMU])?;
    interrupt::watch()?;
    let programs = fleet::build(false)?;
    let mut control = ControlPlane::new(&programs, &["--heartbeat-interval", "1s"])?;
    let mut host = Host::new(&programs.edge_agent)?;
    let show = Show { began: Instant::now() };
    let shown = show.everything(&mut control, &mut host, once);
    let left = host.leftovers();
    let dirs = [host.dir().to_owned(), control.dir().to_owned()];
    drop(host);
    drop(control);
    shown?;
    ensure!(left.is_empty(), "processes are left: {left:?}");
    for dir in dirs {
        ensure!(!dir.exists(), "{} is left", dir.display());
    }
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

    fn everything(&self, control: &mut ControlPlane, host: &mut Host, once: bool) -> Result<()> {
        let (web, db) = (vm_id(1), vm_id(2));
        control.start()?;
        self.step(&format!(
            "control-plane runs (pid {}) on {}; its certificate authority is in {}",
            control.pid(),
            control.url(),
            control.data_dir().display()
        ));
        host.start()?;
        self.step(&format!(
            "edge-agent runs (pid {}); its state is in {}",
            host.pid(),
            host.state_dir().display()
        ));
        let agent_id = self.enrol(control, host)?;
        self.boot(control, host, &agent_id, (&web, "web-1"))?;
        self.boot(control, host, &agent_id, (&db, "db-1"))?;
        self.step("the operator sees them: nkudo vms");
        self.indented(&control.operator_says(&["vms"])?);
        self.pause_and_resume(control, host, &web)?;
        self.stop_and_delete(control, host, &db)?;
        self.crash_and_adopt(host, &web)?;
        self.outage(control, host, &agent_id, &web)?;
        self.metrics_and_history(control, host)?;
        if !once {
            self.wait_for_enter(control, host)?;
        }
        self.delete_all(control, host)?;
        self.indented(&host.says(&["unenroll"])?);
        ensure!(control.list("/v1/agents")?.is_empty(), "the agent is still in the fleet");
        self.step("the host left the fleet");
        host.stop()?;
        self.step("the agent stopped");
        control.stop()?;
        self.step("the control plane stopped");
        Ok(())
    }

    fn enrol(&self, control: &ControlPlane, host: &Host) -> Result<String> {
        let agent_id = control.enrol(host)?;
        self.step(&format!("this host is enrolled as agent {agent_id}; its key never left it"));
        control.wait_presence(&agent_id, "online")?;
        self.step("the agent is online: nkudo agents");
        self.indented(&control.operator_says(&["agents"])?);
        let heartbeat = host.json(&["verify-heartbeat"])?;
        ensure!(heartbeat["ok"] == true, "a heartbeat was not answered: {heartbeat}");
        self.step(&format!("a heartbeat over mutual TLS took {} ms", heartbeat["round_trip_ms"]));
        Ok(agent_id)
    }

    fn boot(&self, control: &ControlPlane, host: &Host, agent_id: &str, vm: (&str, &str)) -> Result<()> {
        let (id, name) = vm;
        let began = Instant::now();
        let (memory, cmdline) = (VM_MEMORY_BYTES.to_string(), format!("pm {name}"));
        let kernel = host.kernel().display().to_string();
        let mut asked = vec!["vms", "create", "--agent", agent_id, "--vm-id", id, "--name", name, "--wait"];
        asked.extend(["--memory", &memory, "--kernel", &kernel, "--cmdline", &cmdline]);
        control.operator_says(&asked)?;
        let took = began.elapsed();
        expect_state(host, id, "running")?;
        let pid = pid_of(&host.vm(id)?)?;
        ensure!(alive(pid), "process {pid} of {name} is not there");
        let ready = until("READY on the console", || {
            host.console(id).lines().find(|line| line.starts_with("READY")).map(str::to_owned)
        })?;
        let (pid, took) = (format!("pid {pid}"), took.as_millis());
        self.step(&format!(
            "nkudo vms create: {name} ({pid}) runs after {took} ms; its console says: {ready}"
        ));
        Ok(())
    }

    fn pause_and_resume(&self, control: &ControlPlane, host: &Host, id: &str) -> Result<()> {
        control.operator_says(&["vms", "pause", id, "--wait"])?;
        expect_state(host, id, "paused")?;
        let ticks = host.console(id).len();
        holds("the console of web-1 is silent", SILENCE, || host.console(id).len() == ticks)?;
        self.step("web-1 paused: its console is silent");
        control.operator_says(&["vms", "resume", id, "--wait"])?;
        expect_state(host, id, "running")?;
        until("a tick after resume", || (host.console(id).len() > ticks).then_some(()))?;
        let last = host.console(id).lines().last().unwrap_or_default().to_owned();
        self.step(&format!("web-1 resumed: its console goes on with {last}"));
        Ok(())
    }

    fn stop_and_delete(&self, control: &ControlPlane, host: &Host, id: &str) -> Result<()> {
        let pid = pid_of(&host.vm(id)?)?;
        control.operator_says(&["vms", "stop", id, "--wait"])?;
        expect_state(host, id, "stopped")?;
        ensure!(!alive(pid), "process {pid} of db-1 is still there");
        self.step("db-1 heard its power button and stopped");
        control.operator_says(&["vms", "delete", id, "--wait"])?;
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

    /// Without its control plane the host goes on, and tells afterwards what happened.
    fn outage(&self, control: &mut ControlPlane, host: &Host, agent_id: &str, id: &str) -> Result<()> {
        control.kill_9()?;
        self.step("the control plane killed with -9; the host goes on without it");
        let outcome = host.apply(&on("MicroVMPause", id))?;
        host.apply(&on("MicroVMResume", id))?;
        control.start()?;
        control.wait_presence(agent_id, "online")?;
        let action_id = outcome["action_id"].as_str().context("an outcome names its action")?;
        until("the result of what was done meanwhile", || {
            let action = control.get(&format!("/v1/actions/{action_id}")).ok()?;
            (action["status"] == "success").then_some(())
        })?;
        self.step("it is back; what was done on the host meanwhile is in its books: nkudo actions");
        self.indented(&control.operator_says(&["actions"])?);
        Ok(())
    }

    fn metrics_and_history(&self, control: &ControlPlane, host: &Host) -> Result<()> {
        let (_, metrics) = fleet::request(control.http_addr(), "GET", "/metrics", None, None)
            .context("the control plane's metrics are there")?;
        let shown: Vec<&str> = metrics
            .lines()
            .filter(|line| line.starts_with("nkudo_agents_") || line.starts_with("nkudo_tasks_"))
            .collect();
        ensure!(shown.contains(&"nkudo_agents_online 1.0"), "the agent is not counted: {shown:?}");
        self.step("the control plane's /metrics say");
        self.indented(&shown.join("\n"));
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
        ensure!(count == 8, "eight executions are in the history, not {count}: {history}");
        self.step("the history, which survived the crash");
        self.indented(&host.says(&["executions"])?);
        self.step("and the status");
        self.indented(&host.says(&["status"])?);
        Ok(())
    }

    fn wait_for_enter(&self, control: &ControlPlane, host: &Host) -> Result<()> {
        self.step("try it yourself in another terminal:");
        let words = |command: &Command| -> String {
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        let operator = words(&control.operator(&[]));
        for example in ["agents", "vms", "actions", "tokens", "health"] {
            self.indented(&format!("{operator} {example}"));
        }
        let agent = words(&host.command(&[]));
        for example in ["vms", "status", "executions", "health", "metrics --name nkudo_vm", "check"] {
            self.indented(&format!("{agent} {example}"));
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
    fn delete_all(&self, control: &ControlPlane, host: &Host) -> Result<()> {
        for vm in host.vms()? {
            let id = vm["vm_id"].as_str().context("a vm has an id")?;
            control.operator_says(&["vms", "delete", id, "--wait"])?;
            ensure!(!host.vm_dir(id).exists(), "the run directory of {} is left", vm["vm_name"]);
            self.step(&format!("{} deleted", vm["vm_name"].as_str().unwrap_or(id)));
        }
        until("the control plane to know of no vm", || control.list("/v1/vms").ok()?.is_empty().then_some(()))
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
