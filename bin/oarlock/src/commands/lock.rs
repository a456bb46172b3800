//! One cluster or agent per data directory: a lock that dies with its process, and says which process it is.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;

use crate::layout::Layout;

pub(super) const ROLES: [&str; 3] = ["up", "server", "agent"];

/// Held while the process runs.
pub(super) struct RoleLock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl RoleLock {
    pub(super) fn take(layout: &Layout, role: &str) -> Result<Self> {
        std::fs::create_dir_all(layout.run()).with_context(|| format!("make {}", layout.run().display()))?;
        let path = layout.lock(role);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                held.set_len(0)?;
                held.rewind()?;
                write!(held, "{}", std::process::id())?;
                Ok(Self(held))
            }
            Err((mut file, _)) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                bail!(
                    "{} is in use by process {pid}; end it with `oarlock down --data-dir {}` or choose another --data-dir",
                    layout.data().display(),
                    layout.data().display()
                )
            }
        }
    }
}

/// The process that holds the lock, if any does.
pub(super) fn holder(layout: &Layout, role: &str) -> Option<Pid> {
    let mut file = File::open(layout.lock(role)).ok()?;
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        // Nobody holds it: what is written there is old.
        Ok(_) => None,
        Err(_) => pid.trim().parse().ok().map(Pid::from_raw),
    }
}
