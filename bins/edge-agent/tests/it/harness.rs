//! Starts the built program on a state directory of its own and talks to it as a user would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a state is waited for. Generous: the machine may be busy; a test that passes never waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until `look` finds something.
#[expect(
    clippy::disallowed_methods,
    reason = "another program's state can only be looked at again and again"
)]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A state directory, and the daemon on it while one runs. What is left of VMs goes with it.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), daemon: None }
    }

    /// A host with a configuration file and its daemon running.
    pub(crate) fn running(config: &str) -> Self {
        let mut host = Self::new();
        host.configure(config);
        host.start();
        host
    }

    pub(crate) fn configure(&self, config: &str) {
        std::fs::write(self.config(), config).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("edge-agent.toml")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn vm_dir(&self, vm_id: &str) -> PathBuf {
        self.state_dir().join("vms").join(vm_id)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The guest, as a file that a VM can boot.
    pub(crate) fn kernel(&self) -> PathBuf {
        let path = self.path("tiny.elf");
        if !path.exists() {
            std::fs::write(&path, nkudo_providers::guest::TINY).unwrap();
        }
        path
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-agent"));
        command.arg("--state-dir").arg(self.state_dir());
        if self.config().exists() {
            command.arg("--config").arg(self.config());
        }
        // Drawings are as wide wherever the test runs.
        command.stdin(Stdio::null()).env_remove("COLUMNS");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran(self.command().args(args).output().unwrap())
    }

    /// Applies one action or a list, as JSON, and returns the outcome lines.
    pub(crate) fn apply(&self, actions: &Value) -> (i32, Vec<Value>) {
        let file = self.path("apply.json");
        std::fs::write(&file, actions.to_string()).unwrap();
        let ran = self.run(&["apply", "--output", "json", "-f", file.to_str().unwrap()]);
        let lines = ran.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (ran.code(), lines)
    }

    /// Applies one action that must succeed, and returns its outcome.
    pub(crate) fn succeed(&self, action: &Value) -> Value {
        let (code, lines) = self.apply(action);
        assert_eq!((code, lines.len()), (0, 1), "{action}\n{lines:?}\n{}", self.log());
        assert_eq!(lines[0]["status"], "success");
        lines[0].clone()
    }

    /// Applies one action that must fail with exit code 1, and returns its error.
    pub(crate) fn fail(&self, action: &Value) -> String {
        let (code, lines) = self.apply(action);
        assert_eq!((code, lines.len()), (1, 1), "{action}\n{lines:?}");
        lines[0]["error"].as_str().unwrap().to_owned()
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        until("readiness", || {
            let child = self.daemon.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the daemon ended with {status}: {}", self.log());
            }
            let address = self.metrics_address()?;
            (http_get(&address, "/readyz", "")?.status == 200).then_some(())
        });
    }

    pub(crate) fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = self
            .command()
            .args(["run", "--metrics-addr", "127.0.0.1:0", "--log-format", "json"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(child);
    }

    /// Takes over a daemon that was started otherwise, once it is ready.
    pub(crate) fn adopt_daemon(&mut self, daemon: Child) {
        self.daemon = Some(daemon);
        self.wait_ready();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log says so: what is done does not wait for its line.
    pub(crate) fn until_logged(&self, text: &str) {
        until(&format!("`{text}` in the log"), || self.log().contains(text).then_some(()));
    }

    pub(crate) fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    pub(crate) fn metrics_address(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.state_dir().join("edge-agent.addr.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        Some(value["metrics_addr"].as_str()?.to_owned())
    }

    pub(crate) fn metrics(&self, accept: &str) -> Answer {
        http_get(&self.metrics_address().unwrap(), "/metrics", accept).unwrap()
    }

    /// One sample of the daemon's metrics, by its whole name with labels.
    pub(crate) fn sample(&self, name: &str) -> Option<f64> {
        let text = self.metrics("").body;
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Kills the daemon where it stands.
    pub(crate) fn kill_9(&mut self) {
        let mut child = self.daemon.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.daemon_pid(), signal);
    }

    /// Ends the daemon with SIGTERM and returns its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        let mut child = self.daemon.take().unwrap();
        until("the daemon's end", || child.try_wait().unwrap()).code()
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut socket = UnixStream::connect(self.state_dir().join("agent.sock")).unwrap();
        let length = body.len();
        // An answer may come before the whole body was taken; then the rest cannot be written.
        let sent = write!(
            socket,
            "{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        assert!(sent.is_ok() || length > 1 << 20, "{sent:?}");
        read_answer(socket).unwrap()
    }

    /// Opens a stream and leaves it open.
    pub(crate) fn follow(&self, path: &str) -> Follower {
        let mut socket = UnixStream::connect(self.state_dir().join("agent.sock")).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nhost: agent\r\n\r\n").unwrap();
        let mut first = [0; 1];
        socket.read_exact(&mut first).unwrap();
        Follower(socket)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.request("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    pub(crate) fn vm(&self, vm_id: &str) -> Value {
        self.get(&format!("/v1/vms/{vm_id}"))
    }

    pub(crate) fn wait_for_vm(&self, vm_id: &str, state: &str) -> Value {
        until(&format!("{vm_id} to be {state}"), || {
            let vm = self.vm(vm_id);
            (vm["state"] == state).then_some(vm)
        })
    }

    /// Waits for a VM that may not be there yet.
    pub(crate) fn wait_for_vm_in_time(&self, vm_id: &str, state: &str) {
        until(&format!("{vm_id} to be {state}"), || {
            let answer = self.request("GET", &format!("/v1/vms/{vm_id}"), "");
            (answer.status == 200 && answer.json()["state"] == state).then_some(())
        });
    }

    /// A body that creates a VM of the tiny guest on QEMU.
    pub(crate) fn create(&self, vm_id: &str, name: &str) -> Value {
        json!({"action_type": "MicroVMCreate", "params": {"vm_id": vm_id, "vm_name": name, "vcpus": 1,
            "memory_bytes": 32 << 20, "kernel": self.kernel(), "cmdline": format!("pm {name}"), "provider": "qemu"}})
    }

    /// A body that creates a simulated VM with these labels.
    pub(crate) fn create_simulated(&self, vm_id: &str, name: &str, labels: &Value) -> Value {
        json!({"action_type": "MicroVMCreate", "params": {"vm_id": vm_id, "vm_name": name, "vcpus": 1,
            "memory_bytes": 32 << 20, "kernel": self.kernel(), "provider": "simulated", "labels": labels}})
    }

    pub(crate) fn console(&self, vm_id: &str) -> String {
        let bytes = std::fs::read(self.vm_dir(vm_id).join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process of a VM, by its own word.
    pub(crate) fn vmm_pid(&self, vm_id: &str) -> Option<u32> {
        let text = std::fs::read_to_string(self.vm_dir(vm_id).join("vmm.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        u32::try_from(value["pid"].as_u64()?).ok()
    }

    /// Processes whose command line names something below this host's directory.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let needle = self.dir.path().to_str().unwrap();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(needle) || cwd.starts_with(needle) {
                found.push(pid);
            }
        }
        found.retain(|pid| alive(*pid));
        found
    }

    /// Nothing of any VM is left on this host.
    pub(crate) fn assert_nothing_left(&self) {
        let daemon = self.daemon.as_ref().map(Child::id);
        let left: Vec<u32> = self.processes().into_iter().filter(|pid| Some(*pid) != daemon).collect();
        assert_eq!(left, Vec::<u32>::new(), "processes are left");
        let vms = self.state_dir().join("vms");
        let left: Vec<_> = std::fs::read_dir(vms).into_iter().flatten().flatten().map(|e| e.path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "directories are left");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            drop(child.kill());
            drop(child.wait());
        }
        for pid in self.processes() {
            send_signal(pid, "KILL");
        }
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

/// A stream that is open.
pub(crate) struct Follower(UnixStream);

impl Follower {
    /// The other side closes it.
    pub(crate) fn ends(&mut self) {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
    }
}

/// What a command answered.
pub(crate) struct Ran(Output);

impl Ran {
    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout()).unwrap_or_else(|error| panic!("{error}: {}", self.stdout()))
    }
}

/// What an HTTP request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) fn http_get(address: &str, path: &str, accept: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    let accept = if accept.is_empty() { String::new() } else { format!("accept: {accept}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n{accept}\r\n").ok()?;
    read_answer(stream)
}

fn read_answer(mut stream: impl Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A server that does not take the whole body closes with an error behind its answer.
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { dechunk(body) } else { body.to_owned() };
    Some(Answer { status, head: head.to_lowercase(), body })
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(rest.get(..size).unwrap());
        body = rest.get(size + 2..).unwrap_or("");
    }
    whole
}

pub(crate) fn send_signal(pid: u32, signal: &str) {
    Command::new("kill").args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
}

/// Whether the process is there and no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

pub(crate) fn vm_id(number: u32) -> String {
    format!("01890a5d-ac96-774b-bcce-{number:012}")
}

pub(crate) fn on(action_type: &str, vm_id: &str) -> Value {
    json!({"action_type": action_type, "params": {"vm_id": vm_id}})
}

/// Whether a program is there; a test that needs it says loudly that it was skipped.
pub(crate) fn installed(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|dir| Path::new(&dir).join(program).exists());
    if !found {
        eprintln!("SKIPPED: {program} is not installed; `cargo xtask test` installs it");
    }
    found
}
