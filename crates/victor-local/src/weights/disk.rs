//! The room on the disk, behind a trait so that a full one can be tested.

use std::io;
use std::path::Path;

use super::error::WeightsError;
use super::platform;

/// What is left on a disk beside what is fetched, in bytes: Victor's own files and others need some.
pub(super) const SPARE: u64 = 50_000_000;

/// Knows how much room there is.
pub trait Room: Send + Sync + 'static {
    /// Bytes that may still be written in `folder`, which exists.
    ///
    /// # Errors
    /// The system does not say.
    fn free(&self, folder: &Path) -> io::Result<u64>;
}

/// The disks of this machine.
pub(super) struct Disk;

impl Room for Disk {
    fn free(&self, folder: &Path) -> io::Result<u64> {
        platform::free_room(folder)
    }
}

/// Checks that `needed` bytes fit. A system that does not say is taken at its word when it is full.
pub(super) fn check(room: &dyn Room, model: &str, folder: &Path, needed: u64) -> Result<(), WeightsError> {
    match room.free(folder) {
        Ok(free) if free < needed.saturating_add(SPARE) => {
            let (model, folder) = (model.to_owned(), folder.to_owned());
            Err(WeightsError::NoRoom { model, folder, needed: needed.saturating_add(SPARE), free })
        }
        _ => Ok(()),
    }
}
