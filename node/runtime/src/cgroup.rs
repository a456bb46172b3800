//! Control groups as the runtime reads and changes them: where a group lies in each hierarchy, joining, counting,
//! limiting while running, killing and removing. Setting the limits at birth is libcontainer's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The hierarchies of this machine.
#[derive(Debug, Clone)]
pub(crate) enum Hierarchies {
    /// One tree for all controllers.
    Unified(PathBuf),
    /// A tree per controller: (controllers, mount point).
    Split(Vec<(Vec<String>, PathBuf)>),
}

/// The hierarchies of this machine, found once.
pub(crate) fn hierarchies() -> &'static Hierarchies {
    static FOUND: OnceLock<Hierarchies> = OnceLock::new();
    FOUND.get_or_init(|| {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        parse_mountinfo(&table)
    })
}

fn parse_mountinfo(table: &str) -> Hierarchies {
    let mut split = Vec::new();
    let mut unified = None;
    for line in table.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let Some(point) = front.split(' ').nth(4) else { continue };
        let mut back = back.split(' ');
        match back.next() {
            Some("cgroup2") if unified.is_none() => unified = Some(PathBuf::from(point)),
            Some("cgroup") => {
                let options = back.nth(1).unwrap_or_default();
                let names =
                    options.split(',').filter(|o| *o != "rw" && *o != "ro").map(str::to_string).collect();
                split.push((names, PathBuf::from(point)));
            }
            _ => {}
        }
    }
    match unified {
        Some(root) if split.is_empty() => Hierarchies::Unified(root),
        // Without any hierarchy the usual place is named, so that errors name it too.
        None if split.is_empty() => Hierarchies::Unified(PathBuf::from("/sys/fs/cgroup")),
        _ => Hierarchies::Split(split),
    }
}

/// One group, by its absolute path within the hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup(String);

/// How much a group has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub cpu_ns: u64,
    pub memory_bytes: u64,
    pub working_set_bytes: u64,
    pub rss_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub memory_limit_bytes: Option<u64>,
    pub pids: u64,
}

/// Limits that may change while a container runs. Absent ones stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub cpu_shares: Option<u64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    pub memory_bytes: Option<i64>,
    pub memory_swap_bytes: Option<i64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub pids: Option<i64>,
}

impl Cgroup {
    pub(crate) fn new(path: &str) -> Self {
        Self(format!("/{}", path.trim_matches('/')))
    }

    fn directories(&self) -> Vec<PathBuf> {
        let inner = self.0.trim_start_matches('/');
        match hierarchies() {
            Hierarchies::Unified(root) => vec![root.join(inner)],
            Hierarchies::Split(roots) => roots.iter().map(|(_, root)| root.join(inner)).collect(),
        }
    }

    fn directory(&self, controller: &str) -> Option<PathBuf> {
        let inner = self.0.trim_start_matches('/');
        match hierarchies() {
            Hierarchies::Unified(root) => Some(root.join(inner)),
            Hierarchies::Split(roots) => roots
                .iter()
                .find(|(names, _)| names.iter().any(|name| name == controller))
                .map(|(_, root)| root.join(inner)),
        }
    }

    fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.directory(controller)?.join(file)).ok()
    }

    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        self.read(controller, file)?.trim().parse().ok()
    }

    fn write(&self, controller: &str, file: &str, value: &str) -> io::Result<()> {
        match self.directory(controller) {
            Some(directory) => fs::write(directory.join(file), value),
            // A machine without the controller cannot limit; libcontainer's rule at creation is the same.
            None => Ok(()),
        }
    }

    /// Makes the group and moves this process into it, wherever the machine allows it.
    pub(crate) fn join(&self) -> io::Result<()> {
        let mut outcome = Ok(());
        for directory in self.directories() {
            let joined = fs::create_dir_all(&directory)
                .and_then(|()| inherit_cpuset(&directory))
                .and_then(|()| fs::write(directory.join("cgroup.procs"), "0"));
            outcome = outcome.and(joined);
        }
        outcome
    }

    /// The processes of the group and of the groups below it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for directory in self.directories() {
            collect(&directory, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Kills every process in the group and removes it. Waits for the kernel's own bookkeeping, at most a second.
    #[expect(clippy::disallowed_methods, reason = "the kernel gives no signal for the moment waited for")]
    pub(crate) fn destroy(&self) {
        let until = Instant::now() + Duration::from_secs(1);
        loop {
            for pid in self.processes() {
                kill(pid);
            }
            if self.directories().iter().all(|directory| remove_tree(directory)) || Instant::now() > until {
                return;
            }
            // rmdir answers EBUSY until the last dead process is off the kernel's books.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the kernel has killed a process of this group for want of memory.
    pub(crate) fn oom_killed(&self) -> bool {
        let (file, key) = match hierarchies() {
            Hierarchies::Unified(_) => ("memory.events", "oom_kill"),
            Hierarchies::Split(_) => ("memory.oom_control", "oom_kill"),
        };
        self.read("memory", file).is_some_and(|text| field(&text, key).unwrap_or(0) > 0)
    }

    /// What the group has used so far; `None` when it is gone.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match hierarchies() {
            Hierarchies::Unified(_) => self.usage_unified(),
            Hierarchies::Split(_) => self.usage_split(),
        }
    }

    fn usage_unified(&self) -> Option<Usage> {
        let cpu = self.read("cpu", "cpu.stat")?;
        let stat = self.read("memory", "memory.stat").unwrap_or_default();
        let memory = self.number("memory", "memory.current").unwrap_or(0);
        Some(Usage {
            cpu_ns: field(&cpu, "usage_usec").unwrap_or(0) * 1000,
            memory_bytes: memory,
            working_set_bytes: memory.saturating_sub(field(&stat, "inactive_file").unwrap_or(0)),
            rss_bytes: field(&stat, "anon").unwrap_or(0),
            page_faults: field(&stat, "pgfault").unwrap_or(0),
            major_page_faults: field(&stat, "pgmajfault").unwrap_or(0),
            memory_limit_bytes: self.number("memory", "memory.max"),
            pids: self.number("pids", "pids.current").unwrap_or(0),
        })
    }

    fn usage_split(&self) -> Option<Usage> {
        let cpu_ns = self.number("cpuacct", "cpuacct.usage");
        let stat = self.read("memory", "memory.stat").unwrap_or_default();
        let memory = self.number("memory", "memory.usage_in_bytes");
        if cpu_ns.is_none() && memory.is_none() {
            return None;
        }
        let memory = memory.unwrap_or(0);
        // "No limit" is the largest multiple of the page size here.
        let limit = self.number("memory", "memory.limit_in_bytes").filter(|limit| *limit < 1 << 62);
        Some(Usage {
            cpu_ns: cpu_ns.unwrap_or(0),
            memory_bytes: memory,
            working_set_bytes: memory.saturating_sub(field(&stat, "total_inactive_file").unwrap_or(0)),
            rss_bytes: field(&stat, "total_rss").unwrap_or(0),
            page_faults: field(&stat, "total_pgfault").unwrap_or(0),
            major_page_faults: field(&stat, "total_pgmajfault").unwrap_or(0),
            memory_limit_bytes: limit,
            pids: self.number("pids", "pids.current").unwrap_or(0),
        })
    }

    /// Changes the limits of a living group.
    pub(crate) fn update(&self, limits: &Limits) -> io::Result<()> {
        match hierarchies() {
            Hierarchies::Unified(_) => self.update_unified(limits),
            Hierarchies::Split(_) => self.update_split(limits),
        }
    }

    fn update_unified(&self, limits: &Limits) -> io::Result<()> {
        if let Some(shares) = limits.cpu_shares {
            self.write("cpu", "cpu.weight", &weight_of_shares(shares).to_string())?;
        }
        if limits.cpu_quota.is_some() || limits.cpu_period.is_some() {
            let quota =
                limits.cpu_quota.filter(|quota| *quota > 0).map_or("max".to_string(), |q| q.to_string());
            self.write("cpu", "cpu.max", &format!("{quota} {}", limits.cpu_period.unwrap_or(100_000)))?;
        }
        if let Some(bytes) = limits.memory_bytes {
            let value = if bytes < 0 { "max".to_string() } else { bytes.to_string() };
            self.write("memory", "memory.max", &value)?;
        }
        self.update_common(limits)
    }

    fn update_split(&self, limits: &Limits) -> io::Result<()> {
        if let Some(shares) = limits.cpu_shares {
            self.write("cpu", "cpu.shares", &shares.to_string())?;
        }
        if let Some(period) = limits.cpu_period {
            self.write("cpu", "cpu.cfs_period_us", &period.to_string())?;
        }
        if let Some(quota) = limits.cpu_quota {
            self.write("cpu", "cpu.cfs_quota_us", &quota.to_string())?;
        }
        if let Some(bytes) = limits.memory_bytes {
            // With a swap limit in force the order depends on whether memory grows or shrinks: the second try decides.
            let swap = limits.memory_swap_bytes.unwrap_or(bytes).to_string();
            let first = self.write("memory", "memory.limit_in_bytes", &bytes.to_string());
            // Kernels without swap accounting have no such file.
            let _ = self.write("memory", "memory.memsw.limit_in_bytes", &swap);
            if first.is_err() {
                self.write("memory", "memory.limit_in_bytes", &bytes.to_string())?;
            }
        }
        self.update_common(limits)
    }

    fn update_common(&self, limits: &Limits) -> io::Result<()> {
        if let Some(cpus) = &limits.cpuset_cpus {
            self.write("cpuset", "cpuset.cpus", cpus)?;
        }
        if let Some(mems) = &limits.cpuset_mems {
            self.write("cpuset", "cpuset.mems", mems)?;
        }
        if let Some(pids) = limits.pids {
            let value = if pids <= 0 { "max".to_string() } else { pids.to_string() };
            self.write("pids", "pids.max", &value)?;
        }
        Ok(())
    }
}

/// Whether swap can be limited: v1 has files for it only with swap accounting.
pub(crate) fn swap_accounted() -> bool {
    match hierarchies() {
        Hierarchies::Unified(_) => true,
        Hierarchies::Split(_) => Cgroup::new("/")
            .directory("memory")
            .is_some_and(|root| root.join("memory.memsw.limit_in_bytes").exists()),
    }
}

/// cgroup v2's weight for v1's shares, as KEP-2254 maps them.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9_999 / 262_142
}

fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn collect(directory: &Path, found: &mut Vec<i32>) {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    for child in fs::read_dir(directory).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&child.path(), found);
        }
    }
}

fn remove_tree(directory: &Path) -> bool {
    for child in fs::read_dir(directory).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&child.path());
        }
    }
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// A v1 cpuset group takes no process before it has processors and memory nodes: give it its parent's.
fn inherit_cpuset(directory: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (own, Some(parent)) = (directory.join(file), directory.parent()) else { continue };
        let Ok(current) = fs::read_to_string(&own) else { continue };
        if current.trim().is_empty() && matches!(hierarchies(), Hierarchies::Split(_)) {
            inherit_cpuset(parent)?;
            fs::write(&own, fs::read_to_string(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// Kills one process; that it is already gone is success.
pub(crate) fn kill(pid: i32) {
    // The only other outcome, EPERM, cannot be met by root and leaves nothing to do.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_tells_one_tree_from_many() {
        let hybrid = "24 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      25 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let Hierarchies::Split(trees) = parse_mountinfo(hybrid) else { panic!("hybrid is split") };
        assert_eq!(trees, [(vec!["cpu".into(), "cpuacct".into()], PathBuf::from("/sys/fs/cgroup/cpu"))]);
        let unified = "25 1 0:3 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";
        assert!(
            matches!(parse_mountinfo(unified), Hierarchies::Unified(root) if root == Path::new("/sys/fs/cgroup"))
        );
    }

    #[test]
    fn shares_become_weights() {
        for (shares, weight) in [(2, 1), (1024, 39), (262_144, 10_000), (0, 1)] {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn fields_are_found_by_whole_name() {
        let text = "oom 3\noom_kill 1\n";
        assert_eq!(field(text, "oom_kill"), Some(1));
        assert_eq!(field(text, "oom"), Some(3));
        assert_eq!(field(text, "x"), None);
    }
}
