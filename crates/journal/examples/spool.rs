//! A host that lost its link: what it records waits in a spool, and is delivered when the link is back.
//!
//! ```console
//! $ cargo run -p nkudo-journal --example spool
//! offline: 3551 bytes wait, 56 samples were dropped
//! after a restart: 0 damaged files
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use nkudo_journal::RealDisk;
use nkudo_journal::spool::{Class, Entry, Spool, SpoolError, SpoolOptions};

/// Most bytes of one delivery.
const DELIVERY_BYTES: usize = 800;

fn main() -> Result<(), Box<dyn Error>> {
    let root = tempfile::tempdir()?;
    let dir = root.path().join("spool");
    let options = SpoolOptions { max_bytes: 4_096, segment_bytes: 1_024, max_record_bytes: 256 };

    let (mut spool, _) = Spool::open(RealDisk, &dir, options)?;
    for minute in 0..120 {
        spool.push(Class::Telemetry, format!("minute {minute}: cpu {} %", minute * 7 % 100).as_bytes())?;
        if minute % 5 == 0 {
            spool.push(Class::Audit, format!("minute {minute}: somebody did something").as_bytes())?;
        }
    }
    spool.sync()?;
    println!("offline: {} bytes wait, {} samples were dropped", spool.bytes(), spool.dropped());
    // The program ends here, and another one begins.
    drop(spool);

    let (mut spool, recovered) = Spool::open(RealDisk, &dir, options)?;
    println!("after a restart: {} damaged files", recovered.discarded.len());
    loop {
        let entries = spool.read(spool.acknowledged(), DELIVERY_BYTES)?;
        let Some(last) = entries.last() else { break };
        let last = match last {
            Entry::Record { seq, .. } => *seq,
            Entry::Gap { last, .. } => *last,
        };
        let gaps = entries.iter().filter(|entry| matches!(entry, Entry::Gap { .. })).count();
        println!("delivered up to {last}: {} records, {gaps} gaps", entries.len() - gaps);
        // Only when the other side has it.
        spool.acknowledge(last)?;
    }
    spool.save()?;

    let mut lines = 0;
    let refused = loop {
        match spool.push(Class::Audit, &[b'x'; 200]) {
            Ok(_) => lines += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, SpoolError::Full { .. }));
    println!("offline again, {lines} audit lines later: {refused}");
    Ok(())
}
