//! Logs go to standard error: one event per change of state, with fields.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line per event, coloured on a terminal.
    #[default]
    Text,
}

#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    pub format: LogFormat,
    /// Only warnings while the verbosity is 0: somebody looks at a terminal where something else is told.
    pub quiet: bool,
    /// klog's verbosity: 0 and 1 are info, 2 to 4 debug, above trace.
    pub verbosity: u8,
}

/// Starts logging for this process. `OARLOCK_LOG` (a tracing filter) goes before the verbosity. A second call changes
/// nothing.
pub fn init_logs(options: &LogOptions) {
    let default = match options.verbosity {
        0 if options.quiet => "warn,kube_client=off",
        // The client's errors are told by those who asked it.
        0 | 1 => "warn,kube_client=off,oarlock=info",
        2..=4 => "info,oarlock=debug",
        _ => "debug,oarlock=trace",
    };
    let filter = std::env::var("OARLOCK_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    let built = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .compact()
        .try_init();
    // An error only says that logging has been started before.
    drop(built);
}
