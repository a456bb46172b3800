//! One process of a cluster.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};

/// Running until it is ended.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it, with all it says in the log. The receiver hears when it says that it is ready.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<(Self, Receiver<()>)> {
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(log);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(open()?);
        let mut child = command.spawn().context("start oarlock")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let (told, ready) = channel();
        let mut copy = open()?;
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The log is for people who look into a failed test.
                let _ = writeln!(copy, "{line}");
                if line.trim_start().starts_with("ready") {
                    // Told twice is as good as once.
                    let _ = told.send(());
                }
            }
        });
        Ok((Self { child }, ready))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait(mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }

    /// Sends the signal, and waits for the end.
    pub(crate) fn end(self, signal: Signal) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).context("signal oarlock")?;
        self.wait()
    }
}

/// The binary that was built with these tests: two folders above the test's own executable.
pub fn oarlock_path() -> Result<PathBuf> {
    if let Ok(path) = std::env::var("OARLOCK") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let path = own
        .parent()
        .and_then(Path::parent)
        .context("a test executable lies in target/…/deps")?
        .join("oarlock");
    if !path.exists() {
        bail!("{} is not built: make test builds it first", path.display());
    }
    Ok(path)
}
