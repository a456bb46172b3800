//! Benchmarks: what a whole cluster costs (`measure`, the default), what its API bears (`load`, `compare`), and what following
//! the owners of fields costs (`ownership`).

mod load;
mod measure;
mod ownership;
mod processes;
mod stats;
mod tls;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Measures Oarlock
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    measure: measure::Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Loads one API server and tells throughput, latency and the CPU it took
    Load(LoadArguments),
    /// The same load on two API servers in turns, with ratios
    Compare(CompareArguments),
    /// What following the owners of fields costs, without a server
    Ownership,
}

#[derive(Args)]
struct LoadArguments {
    /// The file that says where the API server is and who asks
    kubeconfig: std::path::PathBuf,
    /// A process of the server, whose CPU time is told; may be given several times
    #[arg(long, value_name = "PID")]
    server_pid: Vec<i32>,
    #[command(flatten)]
    shape: load::Shape,
}

#[derive(Args)]
struct CompareArguments {
    a: std::path::PathBuf,
    b: std::path::PathBuf,
    /// Processes of the first server
    #[arg(long, value_name = "PID")]
    a_pid: Vec<i32>,
    /// Processes of the second server
    #[arg(long, value_name = "PID")]
    b_pid: Vec<i32>,
    #[command(flatten)]
    shape: load::Shape,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    // Only the first installation counts, and there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = run(cli) => done,
            // What was started is taken down as it is dropped.
            signal = tokio::signal::ctrl_c() => { signal?; anyhow::bail!("interrupted") }
        }
    })
}

async fn run(cli: Cli) -> Result<()> {
    match cli.command {
        None => measure::run(cli.measure).await,
        Some(Command::Ownership) => ownership::run(),
        Some(Command::Load(one)) => load::one(&one.kubeconfig, &one.server_pid, &one.shape).await,
        Some(Command::Compare(two)) => {
            load::compare((&two.a, &two.a_pid), (&two.b, &two.b_pid), &two.shape).await
        }
    }
}
