//! The streams of a remote command.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Reader, StreamingError, TerminalSize, Writer};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// It ran and returned another code than 0.
    Code(i32),
    /// It could not be run, or not be watched to its end.
    Error(String),
}

/// The server's end of a remote command. Take the fields apart; dropping `outcome` unfinished tells the client that the
/// command failed.
pub struct RemoteCommandStreams {
    pub stdin: Option<Reader>,
    pub stdout: Option<Writer>,
    pub stderr: Option<Writer>,
    /// The terminal's sizes, when there is a terminal. Only the latest matters.
    pub resize: Option<mpsc::Receiver<TerminalSize>>,
    pub outcome: Outcome,
    /// Cancelled when the connection ends, whoever ended it.
    pub hangup: CancellationToken,
}

/// Where a command's end is told.
pub struct Outcome {}

impl Outcome {
    /// Tells the client how the command ended, after all that was written to stdout and stderr, and closes the
    /// connection. Returns when everything is handed to the network, or `Disconnected` if the client left first.
    pub async fn finish(self, exit: Exit) -> Result<(), StreamingError> {
        let _ = exit;
        todo!()
    }
}

/// The client's end of a remote command.
pub struct RemoteCommandClient {
    pub stdin: Option<Writer>,
    pub stdout: Option<Reader>,
    pub stderr: Option<Reader>,
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    pub exit: ExitWaiter,
}

/// Waits for the command's end.
pub struct ExitWaiter {}

impl ExitWaiter {
    /// How the command ended. Read stdout and stderr meanwhile: they share the connection.
    pub async fn wait(self) -> Result<Exit, StreamingError> {
        todo!()
    }
}
