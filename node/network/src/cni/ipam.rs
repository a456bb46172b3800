//! Which address belongs to which pod: one file per address, made with O_EXCL, so that plugins that run at once never
//! give one address twice.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use oarlock_base::Cidr;
use serde::{Deserialize, Serialize};

use super::types::{CniError, PortMapping};

/// Where the search for a free address goes on, so that addresses are not reused at once.
const LAST: &str = "last";

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub container: String,
    pub interface: String,
    #[serde(default)]
    pub ports: Vec<PortMapping>,
}

pub(crate) struct Leases {
    dir: PathBuf,
}

impl Leases {
    pub(crate) fn open(dir: &Path) -> Result<Self, CniError> {
        fs::create_dir_all(dir).map_err(|e| CniError::io("make the lease directory", &e))?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// A free address of the range. The first two (network, and the one people expect a gateway at) and the last stay free.
    pub(crate) fn take(&self, range: Cidr, lease: &Lease) -> Result<Ipv4Addr, CniError> {
        let usable = range.size().saturating_sub(3);
        if usable == 0 {
            return Err(CniError::new(102, &format!("the range {range} is too small")));
        }
        let content = serde_json::to_vec(lease).expect("plain strings and numbers always serialise");
        let last = fs::read_to_string(self.dir.join(LAST)).ok().and_then(|text| text.parse().ok());
        let start = last.and_then(|address| range.index_of(address)).unwrap_or(1);
        for step in 0..usable {
            let index = 2 + (start + 1 + step).saturating_sub(2) % usable;
            let address = range.nth(index).expect("the index is below the size of the range");
            if self.claim(address, &content)? {
                // Only a hint: without it the search starts at the beginning.
                let _ = fs::write(self.dir.join(LAST), address.to_string());
                return Ok(address);
            }
        }
        Err(CniError::new(103, &format!("no address of {range} is free")))
    }

    fn claim(&self, address: Ipv4Addr, content: &[u8]) -> Result<bool, CniError> {
        let path = self.dir.join(address.to_string());
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(content).map_err(|e| CniError::io("write a lease", &e))?;
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(CniError::io("make a lease", &e)),
        }
    }

    pub(crate) fn of(&self, container: &str, interface: &str) -> Result<Vec<(Ipv4Addr, Lease)>, CniError> {
        let mut all = self.all()?;
        all.retain(|(_, lease)| lease.container == container && lease.interface == interface);
        Ok(all)
    }

    pub(crate) fn all(&self) -> Result<Vec<(Ipv4Addr, Lease)>, CniError> {
        let mut out = Vec::new();
        let entries = fs::read_dir(&self.dir).map_err(|e| CniError::io("read the leases", &e))?;
        for entry in entries.flatten() {
            let Some(address) = entry.file_name().to_str().and_then(|name| name.parse::<Ipv4Addr>().ok())
            else {
                continue;
            };
            // A lease that is half written belongs to a plugin that is at work, or that was killed: not ours to touch.
            let content = fs::read(entry.path()).unwrap_or_default();
            if let Ok(lease) = serde_json::from_slice(&content) {
                out.push((address, lease));
            }
        }
        Ok(out)
    }

    pub(crate) fn release(&self, address: Ipv4Addr) -> Result<(), CniError> {
        match fs::remove_file(self.dir.join(address.to_string())) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(CniError::io("remove a lease", &e)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(container: &str) -> Lease {
        Lease { container: container.into(), interface: "eth0".into(), ports: vec![] }
    }

    #[test]
    fn addresses_are_given_once_and_come_back() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let leases = Leases::open(dir.path()).expect("opened");
        let range: Cidr = "10.244.0.0/29".parse().expect("a range");
        let mut given: Vec<Ipv4Addr> =
            (0..5).map(|n| leases.take(range, &lease(&n.to_string())).expect("an address")).collect();
        given.sort();
        let want: Vec<Ipv4Addr> = (2..7).map(|n| Ipv4Addr::new(10, 244, 0, n)).collect();
        assert_eq!(given, want);
        assert_eq!(leases.take(range, &lease("late")).expect_err("full").code, 103);
        let (address, _) = leases.of("3", "eth0").expect("read")[0].clone();
        leases.release(address).expect("released");
        leases.release(address).expect("released again");
        assert_eq!(leases.take(range, &lease("late")).expect("free again"), address);
    }

    #[test]
    fn a_released_address_is_not_the_next_one_given() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let leases = Leases::open(dir.path()).expect("opened");
        let range: Cidr = "10.244.0.0/24".parse().expect("a range");
        let first = leases.take(range, &lease("a")).expect("an address");
        leases.release(first).expect("released");
        assert_ne!(leases.take(range, &lease("b")).expect("an address"), first);
    }
}
