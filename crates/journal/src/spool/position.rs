//! How far a spool is, told by the name of an empty file.

use std::path::Path;

use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};
use crate::format::Seq;

/// As the directory has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// What is not needed any more.
    pub(super) acknowledged: Seq,
    /// All numbers before it were given out.
    pub(super) next: Seq,
}

impl Position {
    pub(super) fn name(self) -> String {
        format!("position-{:020}-{:020}", self.acknowledged.get(), self.next.get())
    }

    /// None for any name that [`Position::name`] does not give.
    pub(super) fn of_name(name: &str) -> Option<Position> {
        let (acknowledged, next) = name.strip_prefix("position-")?.split_once('-')?;
        let (acknowledged, next) = (Seq::new(acknowledged.parse().ok()?), Seq::new(next.parse().ok()?));
        let position = Position { acknowledged, next };
        (position.name() == name && acknowledged < next && next <= Seq::MAX).then_some(position)
    }

    /// Makes the file, durably.
    pub(super) fn create<D: Disk>(self, disk: &D, dir: &Path) -> Result<Position, JournalError> {
        let path = dir.join(self.name());
        let mut file = disk.create_new(&path).map_err(Deed::Create.failed(&path))?;
        file.sync().map_err(Deed::Sync.failed(&path))?;
        disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))?;
        Ok(self)
    }

    /// Gives the file its new name, durably.
    pub(super) fn move_to<D: Disk>(
        &mut self,
        to: Position,
        disk: &D,
        dir: &Path,
    ) -> Result<(), JournalError> {
        if *self != to {
            let from = dir.join(self.name());
            disk.rename(&from, &dir.join(to.name())).map_err(Deed::Rename.failed(&from))?;
            disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))?;
            *self = to;
        }
        Ok(())
    }
}
