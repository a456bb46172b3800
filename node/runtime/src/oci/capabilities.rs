//! Capabilities by name and number, and the sets that runtimes give by default.

/// Every capability; its place is its number in the kernel.
pub(crate) const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What a container has unless it asks for more or less: the set of every runtime since Docker.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// A set of capabilities, as the kernel's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Set(pub(crate) u64);

impl Set {
    pub(crate) fn by_default() -> Self {
        DEFAULT.iter().fold(Self(0), |set, name| set.with(name))
    }

    /// What this process may give at all: its own bounding set.
    pub(crate) fn possible() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bits = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
        Self(bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(u64::MAX))
    }

    fn number(name: &str) -> Option<usize> {
        NAMES.iter().position(|known| *known == name)
    }

    pub(crate) fn has(self, name: &str) -> bool {
        Self::number(name).is_some_and(|number| self.0 >> number & 1 == 1)
    }

    pub(crate) fn with(self, name: &str) -> Self {
        Self(Self::number(name).map_or(self.0, |number| self.0 | 1 << number))
    }

    fn without(self, name: &str) -> Self {
        Self(Self::number(name).map_or(self.0, |number| self.0 & !(1 << number)))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This set changed as a pod asks: names with or without `CAP_`, `ALL` for all. An unknown name is an error.
    pub(crate) fn changed(self, add: &[String], drop: &[String]) -> Result<Self, String> {
        let full = |name: &String| {
            let name = name.to_uppercase();
            if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
        };
        let mut set = self;
        if add.iter().any(|name| full(name) == "ALL") {
            set = Self(u64::MAX);
        }
        if drop.iter().any(|name| full(name) == "ALL") {
            set = Self(0);
        }
        for name in add.iter().map(full).filter(|name| name != "ALL") {
            Self::number(&name).ok_or_else(|| format!("unknown capability to add: {name:?}"))?;
            set = set.with(&name);
        }
        for name in drop.iter().map(full).filter(|name| name != "ALL") {
            Self::number(&name).ok_or_else(|| format!("unknown capability to drop: {name:?}"))?;
            set = set.without(&name);
        }
        Ok(set)
    }

    pub(crate) fn names(self) -> Vec<&'static str> {
        NAMES
            .iter()
            .enumerate()
            .filter(|(number, _)| self.0 >> number & 1 == 1)
            .map(|(_, name)| *name)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_change_as_pods_ask() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
        for (add, drop, want) in [
            (&[][..], &["ALL"][..], Ok(vec![])),
            (&["NET_BIND_SERVICE"], &["all"], Ok(vec!["CAP_NET_BIND_SERVICE"])),
            (&["sys_admin"], &["ALL"], Ok(vec!["CAP_SYS_ADMIN"])),
            (&["NO_SUCH"], &[], Err("unknown capability to add: \"CAP_NO_SUCH\"".to_string())),
        ] {
            let changed = Set::by_default().changed(&list(add), &list(drop)).map(Set::names);
            assert_eq!(changed, want, "add {add:?}, drop {drop:?}");
        }
        assert!(!Set::by_default().changed(&[], &list(&["MKNOD"])).expect("known").has("CAP_MKNOD"));
    }
}
