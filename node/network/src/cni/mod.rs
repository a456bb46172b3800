//! The pod's half: a CNI plugin (CNI 1.1). A process of its own for each call; all it knows comes in by environment and
//! standard input, all it remembers is in the lease files.

mod ipam;
mod types;
mod veth;

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use crate::nft;
use ipam::{Lease, Leases};
pub(crate) use types::PortMapping;
use types::{CniError, NetConf};

/// Versions whose results have the form that we print.
const VERSIONS: [&str; 5] = ["0.3.1", "0.4.0", "1.0.0", "1.0.1", "1.1.0"];
/// More than any configuration needs.
const INPUT_BYTES_MAX: u64 = 1 << 20;

/// Runs one CNI command and gives the exit code. Call it before any runtime or thread is started.
pub fn cni_main() -> i32 {
    answer(command)
}

/// Runs one command of the `loopback` plugin, which only takes `lo` up: some runtimes insist on it.
pub fn loopback_main() -> i32 {
    answer(loopback)
}

fn answer(command: fn(&str) -> Result<Option<Value>, CniError>) -> i32 {
    let mut input = String::new();
    let result = match std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut input) {
        Ok(_) => command(&input),
        Err(e) => Err(CniError::io("read the configuration", &e)),
    };
    let (text, code) = match result {
        Ok(None) => return 0,
        Ok(Some(value)) => (value.to_string(), 0),
        Err(e) => (e.to_json().to_string(), 1),
    };
    // With standard output gone there is nobody left to tell.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

fn command(input: &str) -> Result<Option<Value>, CniError> {
    let verb = env("CNI_COMMAND")?;
    if verb == "VERSION" {
        return Ok(Some(json!({"cniVersion": "1.1.0", "supportedVersions": VERSIONS})));
    }
    let conf = NetConf::parse(input)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CniError::io("start", &e))?;
    runtime.block_on(async {
        match verb.as_str() {
            "ADD" => add(&conf).await.map(Some),
            "DEL" => del(&conf).await.map(|()| None),
            "CHECK" => check(&conf).await.map(|()| None),
            "STATUS" => Ok(None),
            "GC" => collect_garbage(&conf).await.map(|()| None),
            other => Err(CniError::new(4, &format!("unknown CNI_COMMAND {other:?}"))),
        }
    })
}

fn loopback(input: &str) -> Result<Option<Value>, CniError> {
    match env("CNI_COMMAND")?.as_str() {
        "VERSION" => return Ok(Some(json!({"cniVersion": "1.1.0", "supportedVersions": VERSIONS}))),
        "ADD" => {}
        // The interface goes with its namespace.
        _ => return Ok(None),
    }
    let (conf, netns) = (NetConf::parse(input)?, env("CNI_NETNS")?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CniError::io("start", &e))?;
    runtime.block_on(veth::loopback_up(Path::new(&netns)))?;
    Ok(Some(json!({
        "cniVersion": conf.cni_version,
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": netns}],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}],
    })))
}

fn env(name: &str) -> Result<String, CniError> {
    std::env::var(name)
        .ok()
        .filter(|v| !v.is_empty())
        .ok_or_else(|| CniError::new(4, &format!("required env variable {name} is missing")))
}

async fn add(conf: &NetConf) -> Result<Value, CniError> {
    let (container, interface, netns) = (env("CNI_CONTAINERID")?, env("CNI_IFNAME")?, env("CNI_NETNS")?);
    let leases = Leases::open(&conf.state_dir)?;
    let lease = Lease { container, interface, ports: conf.runtime_config.port_mappings.clone() };
    let address = leases.take(conf.pod_range()?, &lease)?;
    match wire(conf, &lease, Path::new(&netns), address).await {
        Ok(macs) => Ok(types::result(conf, &lease.interface, &netns, address, &macs)),
        Err(e) => {
            // Leave nothing behind: the runtime may try again under another id.
            release(&leases, &lease.container, &lease.interface).await?;
            Err(e)
        }
    }
}

async fn wire(
    conf: &NetConf,
    lease: &Lease,
    netns: &Path,
    address: Ipv4Addr,
) -> Result<veth::Pair, CniError> {
    let pair = veth::Pair::new(&lease.container, &lease.interface, address);
    pair.create(netns, conf).await?;
    if !lease.ports.is_empty() {
        nft::map_ports(address, &lease.ports).await.map_err(|e| CniError::netlink("map host ports", &e))?;
    }
    Ok(pair)
}

/// Idempotent, and works without a namespace (CNI spec, DEL).
async fn del(conf: &NetConf) -> Result<(), CniError> {
    let (container, interface) = (env("CNI_CONTAINERID")?, env("CNI_IFNAME")?);
    release(&Leases::open(&conf.state_dir)?, &container, &interface).await
}

async fn release(leases: &Leases, container: &str, interface: &str) -> Result<(), CniError> {
    veth::remove(container, interface).await?;
    for (address, lease) in leases.of(container, interface)? {
        if !lease.ports.is_empty() {
            nft::unmap_ports(address, &lease.ports)
                .await
                .map_err(|e| CniError::netlink("unmap host ports", &e))?;
        }
        leases.release(address)?;
    }
    Ok(())
}

async fn check(conf: &NetConf) -> Result<(), CniError> {
    let (container, interface) = (env("CNI_CONTAINERID")?, env("CNI_IFNAME")?);
    if Leases::open(&conf.state_dir)?.of(&container, &interface)?.is_empty() {
        return Err(CniError::new(100, "the container has no address"));
    }
    veth::check(&container, &interface).await
}

async fn collect_garbage(conf: &NetConf) -> Result<(), CniError> {
    let leases = Leases::open(&conf.state_dir)?;
    for (_, lease) in leases.all()? {
        if !conf.is_valid_attachment(&lease.container, &lease.interface) {
            release(&leases, &lease.container, &lease.interface).await?;
        }
    }
    Ok(())
}
