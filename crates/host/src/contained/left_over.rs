//! What an earlier life has left.

use std::collections::BTreeSet;
use std::io;

use super::group::Group;
use super::killing::{kill_all, kill_blocking, stop_all};
use super::members;
use super::owner::Owner;
use crate::process::{Kin, runs};

/// Ends whatever processes an earlier life of this owner has left, and removes their groups; tells the names of those
/// that had any. To be called before this life starts any: it knows no difference. It blocks, for milliseconds when
/// nothing is left.
///
/// # Errors
/// When one could not be ended or its group not be removed. All others are done by then, and it may be tried again.
pub fn end_left_over(owner: &Owner) -> io::Result<Vec<String>> {
    let groups = Group::left_by(owner);
    let mut names = BTreeSet::new();
    let alive = kill_blocking(|| {
        let mut alive = Vec::new();
        for (name, group) in &groups {
            let members: Vec<_> = group.members().iter().map(|kin| kin.identity).collect();
            if !members.is_empty() {
                names.insert(name.clone());
                group.kill();
            }
            alive.extend(members);
        }
        let stopped = stop_all(|| {
            let (kins, found): (Vec<Kin>, Vec<String>) = members::of_owner(owner).into_iter().unzip();
            names.extend(found);
            kins
        });
        kill_all(&stopped);
        alive.extend(stopped);
        alive.retain(|process| runs(*process));
        alive
    });
    let stays = groups.into_iter().find_map(|(name, mut group)| (!group.remove_blocking()).then_some(name));
    match (alive.first(), stays) {
        (Some(process), _) => Err(io::Error::other(format!("process {} cannot be ended", process.pid))),
        (None, Some(name)) => Err(io::Error::other(format!("the control group of {name} cannot be removed"))),
        (None, None) => Ok(names.into_iter().collect()),
    }
}
