//! Disks that get full: what a server keeps is moved to one of its own, with little room beside it.

use std::fs::{File, remove_file};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use testkit::succeed;
use tokio::process::Command;

/// Beside what the server keeps already.
const ROOM_MIB: u64 = 64;
const MIB: u64 = 1024 * 1024;
const BLOCK_BYTES: usize = 4096;

pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Moves what a server that does not run keeps in `folder`.
    pub(crate) async fn move_to(folder: &Path) -> anyhow::Result<Self> {
        let before = folder.with_extension("before");
        let owner = std::fs::metadata(folder)?;
        let mib = ROOM_MIB + bytes(folder)? / MIB;
        let (uid, gid) = (owner.uid(), owner.gid());
        std::fs::rename(folder, &before)?;
        std::fs::create_dir(folder)?;
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            &format!("size={mib}m,mode=0700,uid={uid},gid={gid}"),
            "tmpfs",
        ]);
        mount.arg(folder);
        succeed(mount).await?;
        let disk = Self {
            folder: folder.to_owned(),
        };
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(before.join(".")).arg(folder);
        succeed(copy).await?;
        Ok(disk)
    }

    /// Until not a block more fits.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut filler = File::create(self.filler())?;
        loop {
            match filler.write_all(&[1; BLOCK_BYTES]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn make_room(&self) -> anyhow::Result<()> {
        Ok(remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server may still run.
        let _ = std::process::Command::new("umount")
            .arg("--lazy")
            .arg(&self.folder)
            .status();
    }
}

/// Of all files in a folder, roughly: each takes whole blocks.
fn bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += match about.is_dir() {
            true => bytes(&entry.path())?,
            false => about.len().next_multiple_of(BLOCK_BYTES as u64),
        };
    }
    Ok(sum)
}
