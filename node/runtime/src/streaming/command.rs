//! Exec and attach: between a client's streams and a process.

use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;

use oarlock_cri::v1::{AttachRequest, ExecRequest};
use oarlock_streaming::{Exit, Pending, Reader, RemoteCommandStreams, TerminalSize, Writer};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::terminal::Terminal;
use crate::runtime::{Attached, Runtime, RuntimeError, chain, pipe_pair, stdin_pair};

/// Runs a process for a client and tells it the end.
pub(super) async fn run_exec(
    runtime: Arc<Runtime>,
    ticket: ExecRequest,
    streams: Pending<RemoteCommandStreams>,
) {
    let Some((streams, end)) = take(streams).await else { return };
    let work = async {
        if ticket.tty {
            exec_with_terminal(&runtime, &ticket, streams).await
        } else {
            exec_with_pipes(&runtime, &ticket, streams).await
        }
    };
    let outcome = unless_gone(end.hangup.clone(), work).await;
    let said = outcome.map(|outcome| match outcome {
        Ok(0) => Exit::Success,
        Ok(code) => Exit::Code(code),
        Err(error) => Exit::Error(format!("error executing command in container: {}", chain(&error))),
    });
    end.finish(said).await;
}

/// Attaches a client to a container until that ends or the client goes.
pub(super) async fn run_attach(
    runtime: Arc<Runtime>,
    ticket: AttachRequest,
    streams: Pending<RemoteCommandStreams>,
) {
    let Some((streams, end)) = take(streams).await else { return };
    let outcome = unless_gone(end.hangup.clone(), attach(&runtime, &ticket, streams)).await;
    let said = outcome.map(|outcome| match outcome {
        Ok(()) => Exit::Success,
        Err(error) => Exit::Error(format!("error attaching to container: {}", chain(&error))),
    });
    end.finish(said).await;
}

/// The data streams of a client.
struct Streams {
    stdin: Option<Reader>,
    stdout: Option<Writer>,
    stderr: Option<Writer>,
    resize: Option<mpsc::Receiver<TerminalSize>>,
}

/// How a client learns the end, and how we learn that it has gone.
struct End {
    outcome: oarlock_streaming::Outcome,
    hangup: CancellationToken,
}

async fn take(streams: Pending<RemoteCommandStreams>) -> Option<(Streams, End)> {
    match streams.await {
        Ok(streams) => {
            let RemoteCommandStreams { stdin, stdout, stderr, resize, outcome, hangup } = streams;
            Some((Streams { stdin, stdout, stderr, resize }, End { outcome, hangup }))
        }
        Err(error) => {
            debug!(%error, "a client did not open its streams");
            None
        }
    }
}

async fn unless_gone<T>(hangup: CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = hangup.cancelled() => None,
    }
}

impl End {
    async fn finish(self, exit: Option<Exit>) {
        if let Some(exit) = exit {
            // A client that has gone does not want to know.
            let _ = self.outcome.finish(exit).await;
        }
    }
}

async fn exec_with_pipes(
    runtime: &Runtime,
    ticket: &ExecRequest,
    streams: Streams,
) -> Result<i32, RuntimeError> {
    let (stdin, stdin_end) =
        if streams.stdin.is_some() { stdin_pair().map(|(a, b)| (Some(a), Some(b)))? } else { (None, None) };
    let (stdout, stdout_end) = pipe_pair()?;
    let (stderr, stderr_end) = pipe_pair()?;
    let mut ends: Vec<RawFd> = stdin_end.iter().map(|end| end.as_raw_fd()).collect();
    ends.extend([stdout_end.as_raw_fd(), stderr_end.as_raw_fd()]);
    let mut running =
        runtime.exec(&ticket.container_id, &ticket.cmd, (false, stdin.is_some()), &ends).await?;
    drop((stdin_end, stdout_end, stderr_end));
    let typed = feed(streams.stdin, stdin);
    let ended =
        async { tokio::join!(running.wait(), copy(stdout, streams.stdout), copy(stderr, streams.stderr)).0 };
    tokio::pin!(ended);
    // What is typed after the end goes nowhere.
    tokio::select! {
        code = &mut ended => code,
        () = typed => ended.await,
    }
}

async fn exec_with_terminal(
    runtime: &Runtime,
    ticket: &ExecRequest,
    streams: Streams,
) -> Result<i32, RuntimeError> {
    let mut running = runtime.exec(&ticket.container_id, &ticket.cmd, (true, ticket.stdin), &[]).await?;
    let master = running.terminal.take();
    let master = master.ok_or_else(|| RuntimeError::State("the process has no terminal".to_string()))?;
    let terminal = Terminal::new(master).map_err(RuntimeError::io("use the process's terminal"))?;
    let shown = async {
        if let Some(stdout) = streams.stdout {
            // The end of the process decides what the client is told.
            let _ = terminal.show(stdout).await;
        }
    };
    let ended = async { tokio::join!(running.wait(), shown).0 };
    tokio::select! {
        code = ended => code,
        never = use_terminal(&terminal, streams.stdin, streams.resize) => never,
    }
}

async fn attach(runtime: &Runtime, ticket: &AttachRequest, streams: Streams) -> Result<(), RuntimeError> {
    let (stdout, stdout_end) = pipe_pair()?;
    let (stderr, stderr_end) = pipe_pair()?;
    let wanted = (ticket.stdin, streams.stdout.is_some(), streams.stderr.is_some());
    let mut ends = Vec::new();
    if wanted.1 {
        ends.push(stdout_end.as_raw_fd());
    }
    if wanted.2 {
        ends.push(stderr_end.as_raw_fd());
    }
    let Attached { input, tty, stdin_once } = runtime.attach(&ticket.container_id, wanted, &ends).await?;
    drop((stdout_end, stderr_end));
    let shown = async {
        tokio::join!(copy(stdout, streams.stdout), copy(stderr, streams.stderr));
        runtime.wait_for_end(&ticket.container_id).await;
        Ok(())
    };
    match input {
        Some(master) if tty => {
            let terminal = Terminal::new(master).map_err(RuntimeError::io("use the container's terminal"))?;
            tokio::select! {
                ended = shown => ended,
                never = use_terminal(&terminal, streams.stdin, streams.resize) => never,
            }
        }
        input => {
            let sink = input.map(pipe::Sender::from_owned_fd).transpose();
            let sink = sink.map_err(RuntimeError::io("use the container's stdin"))?;
            let typed = async {
                let fed = sink.is_some() && streams.stdin.is_some();
                feed(streams.stdin, sink).await;
                if fed && stdin_once {
                    // The container may have ended with its input.
                    let _ = runtime.close_stdin(&ticket.container_id).await;
                }
            };
            tokio::pin!(shown);
            tokio::select! {
                ended = &mut shown => ended,
                () = typed => shown.await,
            }
        }
    }
}

/// Types and resizes for as long as it is polled.
async fn use_terminal<T>(
    terminal: &Terminal,
    stdin: Option<Reader>,
    resize: Option<mpsc::Receiver<TerminalSize>>,
) -> T {
    let typed = async {
        if let Some(stdin) = stdin {
            // The client's input has ended; the terminal lives on.
            let _ = terminal.type_in(stdin).await;
        }
    };
    let resized = async {
        let Some(mut sizes) = resize else { return };
        while let Some(size) = sizes.recv().await {
            terminal.resize(size);
        }
    };
    tokio::join!(typed, resized);
    std::future::pending().await
}

/// Copies a process's output until it ends. A client that no longer takes it does not stop the process: the rest is
/// read and thrown away.
async fn copy(mut from: pipe::Receiver, to: Option<Writer>) {
    if let Some(mut to) = to
        && tokio::io::copy(&mut from, &mut to).await.is_ok()
    {
        // Gone, if it fails.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut to).await;
        return;
    }
    // A broken pipe ends like an ended one.
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
}

/// Copies a client's input, and closes the process's when it ends.
async fn feed(from: Option<Reader>, to: Option<pipe::Sender>) {
    if let (Some(mut from), Some(mut to)) = (from, to) {
        // A process that no longer reads has ended its side.
        let _ = tokio::io::copy(&mut from, &mut to).await;
    }
}
