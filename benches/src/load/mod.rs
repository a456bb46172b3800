//! The load generator: ConfigMaps created, read, listed, patched and deleted, and watched, over TLS and HTTP/2.

mod plan;
mod report;
mod run;
mod wire;

use std::path::Path;

use anyhow::Result;
use clap::Args;
use oarlock_base::Shutdown;

use self::report::Round;
use crate::processes;
use crate::tls::Target;

/// How much of what.
#[derive(Args, Debug, Clone)]
pub(crate) struct Shape {
    /// Connections to the server
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Requests in flight over all connections
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    in_flight: u16,
    /// Objects that are created, read, patched and deleted
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    objects: u32,
    /// Lists of all objects
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    lists: u32,
    /// Watchers of all objects while they are patched
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(0..=1000))]
    watchers: u16,
}

pub(crate) async fn one(kubeconfig: &Path, pids: &[i32], shape: &Shape) -> Result<()> {
    let rounds = load(kubeconfig, pids, shape).await?;
    print!("{}", report::one(&rounds));
    Ok(())
}

/// A server's kubeconfig and its processes.
type Peer<'a> = (&'a Path, &'a [i32]);

pub(crate) async fn compare(
    (a, a_pids): (&Path, &Vec<i32>),
    (b, b_pids): (&Path, &Vec<i32>),
    shape: &Shape,
) -> Result<()> {
    let peers: [Peer<'_>; 2] = [(a, a_pids), (b, b_pids)];
    let mut results = Vec::new();
    for (kubeconfig, pids) in peers {
        eprintln!("load on {}", kubeconfig.display());
        results.push(load(kubeconfig, pids, shape).await?);
    }
    print!("{}", report::compare(&results[0], &results[1]));
    Ok(())
}

async fn load(kubeconfig: &Path, pids: &[i32], shape: &Shape) -> Result<Vec<Round>> {
    let target = Target::of_kubeconfig(kubeconfig)?;
    processes::cpu_of(pids)?;
    run::run(&target, pids, shape, &Shutdown::new()).await
}
