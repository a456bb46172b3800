//! A network namespace for one cluster, joined to the test by one cable.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// Made with `ip`, gone when dropped.
pub struct NetNs {
    name: String,
    link: String,
    /// The namespace's address on the cable.
    pub address: std::net::Ipv4Addr,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl NetNs {
    /// Addresses are of the range for benchmarks (RFC 2544), which nothing on the machine should use.
    pub fn new() -> Result<Self> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{:x}-{count}", std::process::id());
        // /30 networks of 198.18.0.0/15, spread by process.
        let slot = (std::process::id().wrapping_mul(16).wrapping_add(count)) % 32_000;
        let base = u32::from(std::net::Ipv4Addr::new(198, 18, 0, 0)) + slot * 4;
        let (outside, inside) = (std::net::Ipv4Addr::from(base + 1), std::net::Ipv4Addr::from(base + 2));
        let made = Self { name: format!("oarlock-test-{tag}"), link: format!("ot{tag}"), address: inside };
        let Self { name, link, .. } = &made;
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {link} type veth peer name eth0 netns {name}"))?;
        ip(&format!("addr add {outside}/30 dev {link}"))?;
        ip(&format!("link set {link} up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} addr add {inside}/30 dev eth0"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} route add default via {outside}"))?;
        Ok(made)
    }

    /// A command inside. Not `ip netns exec`, which hides the cgroups behind a new /sys.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg("--").arg(program);
        command
    }

    /// Takes away every link and rule that somebody has made inside, as a restart of the machine would.
    pub fn forget(&self) -> Result<()> {
        let list = self.command("ip").args(["-o", "link"]).output()?;
        for line in String::from_utf8_lossy(&list.stdout).lines() {
            let name = line.split(": ").nth(1).and_then(|name| name.split('@').next()).unwrap_or_default();
            if !["lo", "eth0", ""].contains(&name) {
                // One end of a cable takes the other with it.
                let _ = self.command("ip").args(["link", "del", name]).output()?;
            }
        }
        self.command("nft").args(["flush", "ruleset"]).output()?;
        Ok(())
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        for undo in [format!("link del {}", self.link), format!("netns del {}", self.name)] {
            if let Err(e) = ip(&undo) {
                eprintln!("cleaning up: {e:#}");
            }
        }
    }
}

fn ip(arguments: &str) -> Result<()> {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().context("run ip (Debian: iproute2)")?;
    if !output.status.success() {
        bail!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
