//! What a program has used.

use std::time::Duration;

use super::each_way;
use crate::children::{soon, until};

/// 100,000 turns of a loop take a shell some tenths of a second; never as little as this.
const LOOP: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
const LOOP_CPU: Duration = Duration::from_millis(20);

#[tokio::test]
async fn cpu_time_is_that_of_all_processes() {
    let child = format!("({LOOP}) & wait");
    // Ended by us, and waited for by nobody: it works until it sleeps.
    let left = format!(
        "({LOOP}; exec sleep $0) & until read name < /proc/$!/comm && [ $name = sleep ]; do sleep 0.3; done"
    );
    for case in each_way() {
        let mut used = Vec::new();
        for script in [LOOP, &child, &left, ":"] {
            let ended = soon("its end", case.shell(script).ended()).await;
            assert_eq!(ended.exit.code, Some(0), "{ended:?}");
            used.push(ended.cpu);
        }
        let [itself, child, left, idle] = used.as_slice() else { panic!("four") };
        assert!(*itself > LOOP_CPU && *idle < LOOP_CPU, "{used:?}");
        assert!(*child > *itself / 2 && *left > *itself / 2, "{used:?}");
    }
}

#[tokio::test]
async fn peak_memory_is_what_was_resident_at_most() {
    const HELD: u64 = 20_000_000;
    for case in each_way() {
        let directory = tempfile::tempdir().expect("a directory");
        let [ready, go] = ["ready", "go"].map(|name| directory.path().join(name));
        let script = format!(
            "x=$(head -c {HELD} /dev/zero | tr '\\0' x); : > {}; until [ -e {} ]; do sleep 0.01; done; exit 0",
            ready.display(),
            go.display()
        );
        let mut running = case.shell(&script);
        let let_go = async {
            until("the memory", || ready.exists().then_some(())).await;
            // Longer than between two looks.
            tokio::time::sleep(Duration::from_millis(600)).await;
            std::fs::write(&go, "").expect("a file");
        };
        let (ended, ()) = soon("its end", async { tokio::join!(running.ended(), let_go) }).await;
        assert_eq!(ended.exit.code, Some(0));
        assert!((HELD..20 * HELD).contains(&ended.peak_memory_bytes), "{}", ended.peak_memory_bytes);
    }
}
