//! The chores of the house: `cargo xtask tidy | layers | codegen | cri | descriptions | values`.

mod codegen;
mod cri;
mod descriptions;
mod layers;
mod tidy;
mod values;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::run(),
        Some("layers") => layers::run(),
        Some("codegen") => codegen::run(),
        Some("cri") => cri::run(),
        Some("descriptions") => descriptions::run(),
        Some("values") => values::run(),
        _ => bail!(
            "usage: cargo xtask tidy      no file and no function is too long\n       \
             cargo xtask layers    the direction of dependencies between folders\n       \
             cargo xtask codegen   machinery/api/data from ../shared/facts\n       \
             cargo xtask cri       machinery/cri/src/v1 from ../shared/facts\n       \
             cargo xtask descriptions   machinery/api/data/descriptions.txt.gz from the k8s-openapi crate\n       \
             cargo xtask values FOLDER   machinery/api/data/values.txt.gz from an old release of that crate"
        ),
    }
}
