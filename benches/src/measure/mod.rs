//! Measures clusters from fresh data directories, each in a network namespace of its own, and prints one table.

mod cluster;
mod figures;
mod pods;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use self::cluster::Cluster;
use self::figures::Measured;
use crate::processes;
use crate::stats::Samples;

/// Pods of the burst, as the target says.
const BURST_PODS: usize = 30;
/// Pods over which the cost of one more is spread.
const IDLE_PODS: usize = 20;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/oarlock")]
    oarlock: PathBuf,
    /// Fewer repetitions and shorter waits
    #[arg(long)]
    quick: bool,
    /// Also write the figures here, with all samples
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

struct Plan {
    starts: usize,
    single_pods: usize,
    bursts: usize,
    settle: Duration,
    idle: Duration,
}

impl Plan {
    fn new(quick: bool) -> Self {
        let (settle, idle) = (Duration::from_secs(10), Duration::from_secs(30));
        if quick {
            Self { starts: 2, single_pods: 5, bursts: 1, settle: settle / 2, idle: idle / 3 }
        } else {
            Self { starts: 5, single_pods: 20, bursts: 3, settle, idle }
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let binary = std::path::absolute(&arguments.oarlock)?;
    let size =
        std::fs::metadata(&binary).with_context(|| format!("{} is not built", binary.display()))?.len();
    processes::adopt_orphans()?;
    let plan = Plan::new(arguments.quick);
    let mut measured = vec![figures::BINARY.measured(Samples::of([mib(size)]))];
    measured.extend(measure(&binary, &plan).await?);
    print!("{}", figures::print(&measured));
    if let Some(path) = arguments.json {
        std::fs::write(&path, serde_json::to_vec_pretty(&measured)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

async fn measure(binary: &std::path::Path, plan: &Plan) -> Result<Vec<Measured>> {
    let (mut readyz, mut node) = (Vec::new(), Vec::new());
    let mut last = None;
    for at in 1..=plan.starts {
        eprintln!("start {at} of {}", plan.starts);
        // The former one ends first: they are not to disturb each other.
        drop(last.take());
        let cluster = Cluster::start(binary).await?;
        readyz.push(cluster.readyz.as_secs_f64());
        node.push(cluster.node_ready.as_secs_f64());
        last = Some(cluster);
    }
    let cluster = last.context("at least one start")?;
    let mut out =
        vec![figures::READYZ.measured(Samples::of(readyz)), figures::NODE_READY.measured(Samples::of(node))];
    out.extend(idle(&cluster, plan).await?);
    eprintln!("{} pods one at a time, {} bursts of {BURST_PODS}", plan.single_pods, plan.bursts);
    let mut pods = pods::Pods::new(&cluster).await?;
    let mut singles = Vec::new();
    for _ in 0..plan.single_pods {
        singles.push(pods.create(1).await?.as_secs_f64() * 1e3);
        pods.clear().await?;
    }
    out.push(figures::POD_READY.measured(Samples::of(singles)));
    let mut bursts = Vec::new();
    for _ in 0..plan.bursts {
        bursts.push(pods.create(BURST_PODS).await?.as_secs_f64());
        pods.clear().await?;
    }
    out.push(figures::BURST.measured(Samples::of(bursts)));
    Ok(out)
}

/// What the cluster costs when nothing happens: at first with its DNS alone, then with idle pods.
async fn idle(cluster: &Cluster, plan: &Plan) -> Result<Vec<Measured>> {
    eprintln!("idle for {:?}", plan.settle + plan.idle);
    cluster.dns_ready().await?;
    tokio::time::sleep(plan.settle).await;
    let (cpu, began) = (processes::cluster_cpu(), std::time::Instant::now());
    tokio::time::sleep(plan.idle).await;
    let cpu = (processes::cluster_cpu() - cpu) / began.elapsed().as_secs_f64() * 100.0;
    let bare = memory();
    let mut pods = pods::Pods::new(cluster).await?;
    pods.create(IDLE_PODS).await?;
    tokio::time::sleep(plan.settle).await;
    let with_pods = memory();
    pods.clear().await?;
    Ok(vec![
        figures::IDLE_MEMORY.measured(Samples::of([bare])),
        figures::IDLE_CPU.measured(Samples::of([cpu])),
        figures::POD_MEMORY.measured(Samples::of([(with_pods - bare) / IDLE_PODS as f64])),
    ])
}

fn memory() -> f64 {
    let processes = processes::memory();
    for (command, mib) in processes.iter().take(4) {
        eprintln!("  {mib:7.1} MiB  {command}");
    }
    eprintln!("  in {} processes", processes.len());
    processes.iter().map(|(_, mib)| mib).sum()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
