//! What an owner leaves that is killed.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use nkudo_host::contained::{Groups, Owner, end_left_over};
use nkudo_host::spawn::SpawnError;

use super::{Case, each_way};

/// Three sleep in the end, and two shells wait: some have a session of their own, some forgot their environment.
const TREE: &str = "trap '' TERM HUP
    (setsid sleep $0 &)
    (env -i sleep $0 &)
    setsid sh -c 'env -i sleep $0; :' $0 &
    wait";
const SLEEPERS: usize = 3;
const TREE_SIZE: usize = 5;

/// An owner in a process of its own, which has started a tree.
struct Life(Child);

impl Life {
    fn new(case: &Case) -> Life {
        let mut child = Command::new(std::env::current_exe().expect("this is a program"));
        child.args([
            "--exact",
            "contained::left_over::an_owner_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut input = child.stdin.take().expect("it is piped");
        writeln!(input, "{} {:?}", case.token, case.groups).expect("it reads");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let life = Life(child);
        let started = said.lines().map_while(Result::ok).any(|line| line.contains("started"));
        assert!(started, "it starts a tree");
        // Open until it is killed: it ends by itself when this test does.
        std::mem::forget(input);
        life
    }

    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was killed");
    }
}

#[tokio::test]
async fn a_killed_owners_processes_are_ended_by_its_next_life_and_no_others() {
    for case in each_way() {
        let other = Case::new(case.groups);
        let others = other.shell("exec sleep $0");
        let life = Life::new(&case);
        case.until_asleep(SLEEPERS).await;
        life.kill();
        assert_eq!(case.alive().len(), TREE_SIZE, "they outlive it");
        // As if it had been killed while it ended them.
        for group in case.groups() {
            for (file, frozen) in [("freezer.state", "FROZEN"), ("cgroup.freeze", "1")] {
                let file = std::fs::OpenOptions::new().write(true).open(group.join(file));
                file.map_or(Ok(()), |mut file| file.write_all(frozen.as_bytes())).expect("they are stopped");
            }
        }

        // Whichever groups the next life would use itself.
        let next = Owner::new(&case.token);
        assert_eq!(end_left_over(&next).expect("they end"), [case.token.as_str()]);
        assert_eq!(case.alive(), Vec::<u32>::new());
        assert_eq!(case.groups(), Vec::<std::path::PathBuf>::new());
        assert_eq!(end_left_over(&next).expect("nothing is there"), Vec::<String>::new());
        assert_eq!(other.alive(), [others.identity().pid]);
        assert_eq!(!other.groups().is_empty(), other.is_grouped());
    }
}

#[tokio::test]
async fn a_group_that_was_left_empty_is_removed_without_a_word() {
    for case in each_way() {
        let running = case.shell("exec sleep $0");
        let groups = case.groups();
        drop(running);
        for group in &groups {
            std::fs::create_dir(group).expect("as if left");
            std::fs::create_dir(group.join("inner")).expect("as if made by it");
        }
        assert_eq!(end_left_over(&case.owner).expect("nothing is there"), Vec::<String>::new());
        assert_eq!(case.groups(), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test]
async fn a_group_with_somebody_in_it_is_not_taken_and_its_name_is_told() {
    for case in each_way().into_iter().filter(|case| case.is_grouped()) {
        let running = case.shell("exec sleep $0");
        let groups = case.groups();
        drop(running);
        let mut stranger = Command::new("/bin/sleep").arg(&case.token).spawn().expect("it starts");
        for group in &groups {
            std::fs::create_dir(group).expect("as if left");
            std::fs::write(group.join("cgroup.procs"), stranger.id().to_string()).expect("it may be moved");
        }
        let error = case.try_shell("exec sleep $0").expect_err("somebody is in its group");
        assert!(matches!(error, SpawnError::Taken(_)), "{error:?}");
        assert_eq!(case.alive(), [stranger.id()]);
        assert_eq!(end_left_over(&case.owner).expect("it ends"), [case.token.as_str()]);
        stranger.wait().expect("it was killed");
        assert_eq!(case.groups(), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test]
#[ignore = "it is the child of the test above, which gives it a name and kills it"]
async fn an_owner_until_it_is_killed() {
    let mut order = String::new();
    io::stdin().read_line(&mut order).expect("it is a text");
    let Some((token, groups)) = order.trim_end().split_once(' ') else { return };
    let groups = [Groups::Unified, Groups::Legacy, Groups::None]
        .into_iter()
        .find(|known| format!("{known:?}") == groups)
        .expect("one of them");
    let case = Case { owner: Owner::new(token).in_groups(groups), token: token.to_owned(), groups };
    let _running = case.shell(TREE);
    println!("started");
    let rest = io::stdin().lines().count();
    panic!("nobody killed it, and it was told {rest} lines");
}
