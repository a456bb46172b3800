//! A machine that loses its power: every process of a cluster, every mount and every link of it is gone at once; the disk
//! stays.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Cluster;

impl Cluster {
    /// After this, nothing of the cluster runs; `up` is the machine's next start.
    pub fn lose_power(&mut self) -> Result<()> {
        let run = self.run_dir()?;
        self.kill()?;
        let tag = run.file_name().context("a run directory has a name")?.to_string_lossy().into_owned();
        // A process that was just starting another may be quicker than one look.
        while end_processes(&tag) > 0 {}
        unmount_below(&run)?;
        unmount_below(&self.data_dir())?;
        fs::remove_dir_all(&run).with_context(|| format!("remove {}", run.display()))?;
        self.netns.forget()
    }

    /// Where its sockets and locks are: the directory whose lock names a process of ours.
    pub fn run_dir(&self) -> Result<PathBuf> {
        for dir in fs::read_dir("/run/oarlock")? {
            let dir = dir?.path();
            let ours = ["up", "server", "agent"].iter().any(|role| {
                let held = fs::read_to_string(dir.join(format!("{role}.lock"))).unwrap_or_default();
                self.pid(role).is_some_and(|pid| held.trim() == pid.to_string())
            });
            if ours {
                return Ok(dir);
            }
        }
        anyhow::bail!("no run directory of this cluster")
    }
}

/// Kills what is in a cgroup of the cluster or has its run directory among its arguments; tells how many there were.
fn end_processes(tag: &str) -> usize {
    let (cgroup, run) = (format!("/oarlock-{tag}"), format!("/run/oarlock/{tag}"));
    let mut ended = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let found = |file: &str, what: &str| String::from_utf8_lossy(&read(file)).contains(what);
        let zombie = found("stat", ") Z ");
        if !zombie && (found("cgroup", &cgroup) || found("cmdline", &run)) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            ended += 1;
        }
    }
    ended
}

fn unmount_below(dir: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let below = |path: &&str| Path::new(path).starts_with(dir);
    for path in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).filter(below) {
        umount2(path, MntFlags::MNT_DETACH).with_context(|| format!("unmount {path}"))?;
    }
    Ok(())
}
