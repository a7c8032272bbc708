//! Reads metrics from `/proc` and writes them down, a line a second: the time, then `name=value` for each series.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::time::Duration;

pub(crate) async fn record(file: &str, seconds: u64) -> Result<(), Box<dyn Error>> {
    let mut out = fs::OpenOptions::new().create(true).append(true).open(file)?;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..seconds {
        tick.tick().await;
        let mut line = nkudo_host::clock::wall_ms().to_string();
        read(&mut line)?;
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn read(line: &mut String) -> Result<(), Box<dyn Error>> {
    let mut put = |name: &str, labels: &str, value: f64| {
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        write!(line, " {name}{braces}={value}")
    };
    const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    for words in words_of("/proc/stat")? {
        match words.first().map(String::as_str) {
            Some(cpu) if cpu.starts_with("cpu") => {
                for (mode, ticks) in MODES.iter().zip(&words[1..]) {
                    let labels = format!("cpu=\"{cpu}\",mode=\"{mode}\"");
                    put("host_cpu_seconds_total", &labels, ticks.parse::<f64>()? / 100.0)?;
                }
            }
            Some(name @ ("intr" | "ctxt" | "processes")) => {
                put(&format!("host_{name}_total"), "", words[1].parse()?)?;
            }
            Some(name @ ("procs_running" | "procs_blocked")) => {
                put(&format!("host_{name}"), "", words[1].parse()?)?;
            }
            _ => {}
        }
    }
    for words in words_of("/proc/meminfo")?.iter().filter(|words| words.len() == 3) {
        let field = words[0].trim_end_matches(':');
        put("host_memory_bytes", &format!("field=\"{field}\""), words[1].parse::<f64>()? * 1024.0)?;
    }
    const DISK: [(&str, usize, f64); 7] = [
        ("reads", 3, 1.0),
        ("read_bytes", 5, 512.0),
        ("read_ms", 6, 1.0),
        ("writes", 7, 1.0),
        ("written_bytes", 9, 512.0),
        ("write_ms", 10, 1.0),
        ("io_ms", 12, 1.0),
    ];
    for words in words_of("/proc/diskstats")?.iter().filter(|words| words.len() > 12) {
        for (name, at, unit) in DISK {
            let labels = format!("device=\"{}\"", words[2]);
            put(&format!("host_disk_{name}_total"), &labels, words[at].parse::<f64>()? * unit)?;
        }
    }
    const NET: [(&str, usize); 4] =
        [("receive_bytes", 1), ("receive_packets", 2), ("transmit_bytes", 9), ("transmit_packets", 10)];
    for words in words_of("/proc/net/dev")?.iter().filter(|words| words.len() > 10 && words[0].ends_with(':'))
    {
        for (name, at) in NET {
            let labels = format!("device=\"{}\"", words[0].trim_end_matches(':'));
            put(&format!("host_network_{name}_total"), &labels, words[at].parse()?)?;
        }
    }
    for words in words_of("/proc/loadavg")? {
        for (minutes, load) in ["1", "5", "15"].iter().zip(&words) {
            put(&format!("host_load{minutes}"), "", load.parse()?)?;
        }
    }
    const VMSTAT: [&str; 4] = ["pgfault", "pgmajfault", "pgpgin", "pgpgout"];
    for words in words_of("/proc/vmstat")?.iter().filter(|words| VMSTAT.contains(&words[0].as_str())) {
        put(&format!("host_vmstat_{}_total", words[0]), "", words[1].parse()?)?;
    }
    Ok(())
}

fn words_of(file: &str) -> Result<Vec<Vec<String>>, std::io::Error> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    Ok(fs::read_to_string(file)?.lines().map(words).collect())
}
