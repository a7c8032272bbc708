use std::path::Path;

use nkudo_journal::{Disk, SimulatedDisk, atomic_replace};

const PATH: &str = "/state/edge.json";

fn content(disk: &SimulatedDisk) -> Vec<u8> {
    disk.read_at(Path::new(PATH), 0, u64::MAX).expect("it is there")
}

#[test]
fn a_replacement_cut_off_at_each_step_leaves_the_old_or_the_new() {
    let path = Path::new(PATH);
    let mut step = 0;
    let mut seen = [0, 0];
    loop {
        let disk = SimulatedDisk::new();
        disk.create_dir_all(Path::new("/state")).expect("a directory");
        atomic_replace(&disk, path, b"the old").expect("replaced");
        assert_eq!(content(&disk.crash()), b"the old");
        assert_eq!(disk.length(path).expect("it is there"), 7);
        let first = disk.operations() + step;
        disk.fail(first..u64::MAX);
        let done = atomic_replace(&disk, path, b"the new").is_ok();
        let torn = (0..8).map(|seed| disk.crash_torn(seed));
        for after in [disk.crash(), disk.kill()].into_iter().chain(torn) {
            let found = content(&after);
            let new = found == b"the new";
            assert!(new || (found == b"the old" && !done), "step {step}: {found:?}");
            seen[usize::from(new)] += 1;
            // What is left of it is no obstacle.
            atomic_replace(&after, path, b"the next").expect("replaced");
            assert_eq!(content(&after.crash()), b"the next");
        }
        if done {
            break;
        }
        step += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
