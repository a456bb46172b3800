//! `cargo run -p oarlock-fuzz -- [--seconds N] [TARGET…]`: each target in a process of its own, one after the other.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use oarlock_fuzz::driver::{self, Options};
use oarlock_fuzz::{Target, targets};

#[derive(Debug, Parser)]
struct Arguments {
    /// Targets to run; all without any.
    targets: Vec<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// What one input may take.
    #[arg(long, default_value_t = 10)]
    input_seconds: u64,
    /// What a target's process may hold.
    #[arg(long, default_value_t = 1024)]
    mebibytes: u64,
    /// The run is the same for the same seed; a new one each day without.
    #[arg(long)]
    seed: Option<u64>,
    /// Run the target on this file, once.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Name the targets.
    #[arg(long)]
    list: bool,
    /// In this process: how the parent calls itself.
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen = chosen(&arguments.targets)?;
    if arguments.list {
        chosen.iter().for_each(|target| println!("{}", target.name));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &arguments.replay {
        let [target] = chosen.as_slice() else { bail!("name the one target to replay") };
        let input = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        println!("{:?}", (target.run)(&input));
        return Ok(ExitCode::SUCCESS);
    }
    let seed = arguments.seed.unwrap_or_else(today);
    let mut failed = false;
    for target in chosen {
        let ended_well =
            if arguments.child { here(target, &arguments, seed) } else { apart(target, &arguments, seed)? };
        failed |= !ended_well;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(targets::ALL.iter().collect());
    }
    let find = |name: &String| {
        let found = targets::ALL.iter().find(|target| target.name == name);
        found.with_context(|| format!("no target {name}; --list names them"))
    };
    names.iter().map(find).collect()
}

fn today() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap_or_default()
}

fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz").join(target.name)
}

fn here(target: &'static Target, arguments: &Arguments, seed: u64) -> bool {
    let options = Options {
        seed,
        time: Duration::from_secs(arguments.seconds),
        input_time: Duration::from_secs(arguments.input_seconds),
        mebibytes: arguments.mebibytes,
        folder: folder(target),
    };
    match driver::run(target, &options) {
        Ok(report) => {
            println!("{}: {} runs, {} inputs kept, seed {seed}", target.name, report.runs, report.kept);
            true
        }
        Err(finding) => {
            println!("{}: FAILED with seed {seed}: {finding}", target.name);
            // The thread that hangs must not keep the process.
            std::process::exit(1);
        }
    }
}

fn apart(target: &'static Target, arguments: &Arguments, seed: u64) -> anyhow::Result<bool> {
    let myself = std::env::current_exe().context("find this program")?;
    let number = |name: &str, value: u64| [format!("--{name}"), value.to_string()];
    let status = Command::new(myself)
        .args(["--child", target.name])
        .args(number("seconds", arguments.seconds))
        .args(number("input-seconds", arguments.input_seconds))
        .args(number("mebibytes", arguments.mebibytes))
        .args(number("seed", seed))
        .status()
        .with_context(|| format!("start {}", target.name))?;
    if status.code().is_none() {
        let path = driver::rescue(&folder(target), "died")?;
        println!("{}: FAILED with seed {seed}: {status}, see {}", target.name, path.display());
    }
    Ok(status.success())
}
