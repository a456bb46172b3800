//! What processes cost, as /proc tells it.
//!
//! The benchmark adopts orphans (it is a subreaper), so everything that a cluster starts, shims and containers too,
//! stays below it in the tree: what descends from it is the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};

/// Makes this process the parent of its descendants' orphans.
pub(crate) fn adopt_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).context("become a subreaper")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    zombie: bool,
    /// User and system time, its own and that of children it has waited for.
    ticks: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name may hold anything; the last parenthesis ends it.
    let (front, back) = text.rsplit_once(')')?;
    let pid = front.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = back.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|f| f.parse::<u64>().unwrap_or(0)).sum();
    Some(Stat { pid, parent: fields[1].parse().ok()?, zombie: fields[0] == "Z", ticks })
}

fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| parse_stat(&fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect()
}

fn below(root: i32, stats: &[Stat]) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for stat in stats {
        children.entry(stat.parent).or_default().push(stat.pid);
    }
    let (mut found, mut next) = (BTreeSet::new(), vec![root]);
    while let Some(pid) = next.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                next.push(*child);
            }
        }
    }
    found
}

/// The living descendants of this process.
fn cluster() -> Vec<Stat> {
    let stats = all();
    let found = below(own_pid(), &stats);
    stats.into_iter().filter(|stat| found.contains(&stat.pid) && !stat.zombie).collect()
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Ends the book-keeping of adopted children that have died; `own` are waited for by who started them.
pub(crate) fn reap(own: Option<u32>) {
    for stat in all().into_iter().filter(|stat| stat.zombie && stat.parent == own_pid()) {
        if u32::try_from(stat.pid).ok() != own {
            // Somebody else may have been quicker.
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(stat.pid), None);
        }
    }
}

/// Proportional memory of the cluster in MiB, by process: (command, MiB).
pub(crate) fn memory() -> Vec<(String, f64)> {
    let one = |stat: Stat| {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.pid)).ok()?;
        let command = fs::read(format!("/proc/{}/cmdline", stat.pid)).ok()?;
        let words: Vec<_> = command.split(|b| *b == 0).take(2).map(String::from_utf8_lossy).collect();
        Some((words.join(" "), parse_pss(&text)? as f64 / 1024.0))
    };
    cluster().into_iter().filter_map(one).collect()
}

fn parse_pss(rollup: &str) -> Option<u64> {
    kib_of(rollup, "Pss:")
}

fn kib_of(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// CPU seconds that the cluster has used so far.
pub(crate) fn cluster_cpu() -> f64 {
    seconds(cluster().iter().map(|stat| stat.ticks).sum())
}

/// CPU seconds that these processes have used so far.
pub(crate) fn cpu_of(pids: &[i32]) -> Result<f64> {
    let mut ticks = 0;
    for pid in pids {
        let text =
            fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
        ticks += parse_stat(&text).with_context(|| format!("/proc/{pid}/stat"))?.ticks;
    }
    Ok(seconds(ticks))
}

/// What processes hold together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Memory {
    pub(crate) resident_mib: f64,
    /// Shared pages in parts.
    pub(crate) proportional_mib: f64,
    /// The most that was resident since the start, or since the peak was forgotten.
    pub(crate) peak_mib: f64,
}

/// The memory of these processes now; none of none.
pub(crate) fn memory_of(pids: &[i32]) -> Result<Option<Memory>> {
    let mut sum = Memory::default();
    for pid in pids {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("process {pid}"))
        };
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        let mib = |text: &str, field: &str| kib_of(text, field).unwrap_or(0) as f64 / 1024.0;
        sum.resident_mib += mib(&status, "VmRSS:");
        sum.peak_mib += mib(&status, "VmHWM:");
        sum.proportional_mib += mib(&rollup, "Pss:");
    }
    Ok((!pids.is_empty()).then_some(sum))
}

/// From now on peaks are counted anew, where the kernel lets us.
pub(crate) fn forget_peak(pids: &[i32]) {
    for pid in pids {
        if let Err(error) = fs::write(format!("/proc/{pid}/clear_refs"), "5") {
            eprintln!("the peak of process {pid} is that since its start: {error}");
        }
    }
}

fn seconds(ticks: u64) -> f64 {
    let rate = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    ticks as f64 / rate as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let text = "42 (a) (b c) S 7 42 42 0 -1 4194304 9 8 7 6 10 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(text), Some(Stat { pid: 42, parent: 7, zombie: false, ticks: 37 }));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn descendants_of_descendants_are_found() {
        let stat = |pid, parent| Stat { pid, parent, zombie: false, ticks: 0 };
        let stats = [stat(1, 0), stat(5, 1), stat(6, 5), stat(7, 6), stat(8, 1)];
        assert_eq!(below(5, &stats), BTreeSet::from([6, 7]));
    }

    #[test]
    fn proportional_memory_is_read() {
        assert_eq!(parse_pss("Rss:  12 kB\nPss:    1024 kB\nPss_Dirty: 3 kB\n"), Some(1024));
        assert_eq!(parse_pss(""), None);
    }
}
