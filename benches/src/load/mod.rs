//! The load generator: ConfigMaps created, read, listed, patched, applied and deleted, and watched, over TLS and HTTP/2;
//! what a server's memory grows to, and whether its costs grow with what it holds.

mod growth;
mod memory;
mod plan;
mod report;
mod run;
mod watching;
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
    /// Only these rounds, for a profile of one; the objects are made in any case
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with_all = ["memory", "growth"])]
    rounds: Vec<plan::Verb>,
    /// Objects that are patched while they are watched: enough to see, few enough that a slow server is not watched for minutes
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    watched: u32,
    /// Instead of the rounds: memory with 10,000 ConfigMaps and 5,000 pods
    #[arg(long, conflicts_with = "growth")]
    memory: bool,
    /// Instead of the rounds: costs and memory with up to 100,000 objects and 1,000 watchers
    #[arg(long)]
    growth: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Streams that a server allows on one connection are at least this many.
const STREAMS: u16 = 100;

impl Shape {
    /// The connections that the watchers of a growth need.
    fn growth_connections(&self) -> u16 {
        let most = growth::WATCHERS.into_iter().max().unwrap_or(0);
        if self.growth { most.div_ceil(STREAMS) + self.in_flight.div_ceil(STREAMS) } else { 0 }
    }
}

pub(crate) async fn one(kubeconfig: &Path, pids: &[i32], shape: &Shape) -> Result<()> {
    let rounds = load(kubeconfig, pids, shape).await?;
    let text = if shape.json { report::values(&[rounds]) } else { report::one(&rounds) };
    print!("{text}");
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
    let text = if shape.json { report::values(&results) } else { report::compare(&results[0], &results[1]) };
    print!("{text}");
    Ok(())
}

async fn load(kubeconfig: &Path, pids: &[i32], shape: &Shape) -> Result<Vec<Round>> {
    let target = Target::of_kubeconfig(kubeconfig)?;
    processes::cpu_of(pids)?;
    run::run(&target, pids, shape, &Shutdown::new()).await
}
