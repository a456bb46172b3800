//! The one binary: subcommands, flags, wiring, signals. What it starts lives in the components.

mod addons;
mod api_flags;
mod cli;
mod commands;
mod control_plane;
mod etcd_flags;
mod identities;
mod layout;
mod node;
mod preflight;
mod settings;
mod steps;

use std::process::ExitCode;

/// Takes less of the processor than the C library's, and gives back what nobody needs.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // These run in a single thread, before anything else is started: the container runtime starts this binary under
    // these names, by the hundred.
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let invoked = arguments.first().map(std::path::Path::new).and_then(|p| p.file_name()).unwrap_or_default();
    if invoked == oarlock_network::LOOPBACK {
        return exit(oarlock_network::loopback_main());
    }
    if invoked == oarlock_network::PLUGIN {
        return exit(oarlock_network::cni_main());
    }
    match arguments.get(1).and_then(|a| a.to_str()) {
        Some("shim") => {
            let rest: Vec<String> = arguments[2..].iter().map(|a| a.to_string_lossy().into_owned()).collect();
            return exit(oarlock_runtime::shim_main(&rest));
        }
        Some("pause") => oarlock_runtime::pause_main(),
        _ => {}
    }
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("oarlock: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
