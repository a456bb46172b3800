//! What must be true before anything is started: each fault is one line that says what to do.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use anyhow::{Result, bail};

/// Collects faults, so that a person sees all of them at once.
#[derive(Default)]
pub(crate) struct Preflight {
    faults: Vec<String>,
}

impl Preflight {
    pub(crate) fn root(&mut self) {
        if !nix::unistd::geteuid().is_root() {
            self.faults.push("not root: containers need root; run it with sudo".into());
        }
    }

    /// A port that must be free; 0 always is.
    pub(crate) fn port(&mut self, what: &str, address: IpAddr, port: u16, flag: &str) {
        if port == 0 {
            return;
        }
        if let Err(e) = TcpListener::bind(SocketAddr::new(address, port)) {
            self.faults.push(format!("{what} cannot listen on {address}:{port}: {e}; stop what uses it or choose another with {flag}"));
        }
    }

    /// A directory that must take files; it is made where it is missing.
    pub(crate) fn writable(&mut self, dir: &Path, flag: &str) {
        let probe = dir.join(".oarlock-probe");
        let tried = fs::create_dir_all(dir)
            .and_then(|()| fs::write(&probe, b""))
            .and_then(|()| fs::remove_file(&probe));
        if let Err(e) = tried {
            self.faults.push(format!(
                "{} is not writable: {e}; choose another directory with {flag}",
                dir.display()
            ));
        }
    }

    /// What the node needs of the kernel.
    pub(crate) fn kernel(&mut self) {
        let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !filesystems.lines().any(|line| line.split_whitespace().next_back() == Some("overlay"))
            && !loaded("overlay")
        {
            self.faults.push("the kernel has no overlayfs: load it with `modprobe overlay`".into());
        }
        let cgroups = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if !cgroups.lines().any(|line| matches!(line.split_whitespace().nth(2), Some("cgroup" | "cgroup2"))) {
            self.faults.push(
                "no cgroups are mounted: mount them with `mount -t cgroup2 none /sys/fs/cgroup`".into(),
            );
        }
        for namespace in ["net", "mnt", "pid", "ipc", "uts"] {
            if !Path::new(&format!("/proc/self/ns/{namespace}")).exists() {
                self.faults
                    .push(format!("the kernel has no {namespace} namespaces: use one built with them"));
            }
        }
    }

    /// Ranges that overlap would make addresses mean two things.
    pub(crate) fn ranges(&mut self, common: &crate::settings::Common) {
        let (pods, services) = (common.cluster_cidr, common.service_cidr.v4);
        if pods.overlaps(&services) {
            self.faults.push(format!(
                "pods ({pods}) and Services ({services}) overlap: change --cluster-cidr or --service-cidr"
            ));
        }
        if services.size() < 16 {
            self.faults.push(format!(
                "the service range {services} is too small: give --service-cidr 16 addresses or more"
            ));
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        match self.faults.as_slice() {
            [] => Ok(()),
            [one] => bail!("{one}"),
            many => bail!("{} things are in the way:\n  {}", many.len(), many.join("\n  ")),
        }
    }
}

fn loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

/// The address by which this machine reaches others: the source of a packet to the world. Nothing is sent.
pub(crate) fn own_address() -> Result<std::net::Ipv4Addr> {
    let found = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // A documentation address (RFC 5737): only the route to it counts.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    match found.map(|address| address.ip()) {
        Ok(IpAddr::V4(ip)) if !ip.is_unspecified() => Ok(ip),
        _ => first_address(),
    }
}

/// A machine without a default route: the first address of its interfaces.
fn first_address() -> Result<std::net::Ipv4Addr> {
    for interface in nix::ifaddrs::getifaddrs()? {
        let Some(address) = interface.address.as_ref().and_then(|a| a.as_sockaddr_in()) else { continue };
        let ip = address.ip();
        if !ip.is_loopback() && !ip.is_link_local() {
            return Ok(ip);
        }
    }
    bail!("this machine has no network address; name one with --node-ip")
}

pub(crate) fn host_name() -> Result<String> {
    let name = nix::unistd::gethostname()?;
    Ok(name.to_string_lossy().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_told_at_once_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("an address").port();
        let mut preflight = Preflight::default();
        preflight.port("the API server", IpAddr::from([127, 0, 0, 1]), port, "--https-port");
        preflight.port("the kubelet", IpAddr::from([127, 0, 0, 1]), 0, "--kubelet-port");
        preflight.writable(Path::new("/proc/nowhere"), "--data-dir");
        let told = preflight.finish().expect_err("two faults").to_string();
        assert!(told.contains("--https-port") && told.contains("--data-dir"), "{told}");
        assert_eq!(told.lines().count(), 3);
    }
}
