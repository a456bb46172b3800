//! A Unix socket by which an operator's command reaches the process that has the store open: the file itself can be open
//! only once.
//!
//! One request per connection, a line: `status`, `check`, `defrag`, `compact REVISION|now`, `backup PATH`. The answer is `ok`
//! or `error REASON`, then lines of `name value`.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};

use super::disk::Disk;
use super::thread::Request;
use super::{Facts, closed, defragment_open, inspect_open};
use crate::engine::Engine;
use crate::mvcc::Command;
use crate::types::{Result, Revision, StoreError};

/// Longer requests are of no kind that we know.
const REQUEST_BYTES: u64 = 8192;
/// A client that says nothing does not keep the next one waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// The listening thread; ends when dropped.
pub(super) struct Control {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Server {
    engine: Arc<Engine<Disk>>,
    queue: mpsc::WeakSender<Request>,
    path: PathBuf,
}

impl Control {
    pub(super) fn start(
        socket: &Path,
        engine: Arc<Engine<Disk>>,
        queue: &mpsc::Sender<Request>,
        path: &Path,
    ) -> Result<Self> {
        let failed = |source: io::Error| StoreError::Backend {
            tried: "listen on the store's socket",
            source: source.into(),
        };
        // The store's lock is ours, so whoever made the socket that is there has gone.
        match std::fs::remove_file(socket) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let listener = UnixListener::bind(socket).map_err(failed)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let server = Server { engine, queue: queue.downgrade(), path: path.to_owned() };
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("store-control".into())
            .spawn(move || server.run(&listener, &stopped))
            .map_err(failed)?;
        Ok(Self { socket: socket.to_owned(), stop, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread from waiting for a connection; if that fails, it has ended already.
        let woken = UnixStream::connect(&self.socket).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
        // It may have been taken away by somebody else.
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Server {
    fn run(&self, listener: &UnixListener, stop: &AtomicBool) {
        for stream in listener.incoming() {
            if stop.load(Ordering::Acquire) {
                return;
            }
            match stream.and_then(|stream| self.serve(stream)) {
                Ok(()) => {}
                Err(error) => debug!(%error, "a client of the store's socket went away"),
            }
        }
    }

    fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new((&stream).take(REQUEST_BYTES)).read_line(&mut line)?;
        let line = line.trim_end_matches('\n');
        if line.is_empty() {
            return Ok(());
        }
        info!(request = line, "store: asked by an operator");
        let answer = match self.answer(line) {
            Ok(text) => format!("ok\n{text}"),
            Err(failure) => format!("error {}\n", one_line(&failure)),
        };
        stream.write_all(answer.as_bytes())
    }

    fn answer(&self, line: &str) -> Result<String> {
        let (what, argument) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "status" => Ok(facts_text(&inspect_open(&self.engine, &self.path)?.facts)),
            "check" => {
                let report = inspect_open(&self.engine, &self.path)?;
                let faults =
                    report.faults.iter().map(|fault| format!("fault {}\n", fault.replace('\n', " ")));
                Ok(facts_text(&report.facts) + &faults.collect::<String>())
            }
            "defrag" => {
                let (before, after) = defragment_open(&self.engine, &self.path)?;
                Ok(format!("before {before}\nafter {after}\n"))
            }
            "compact" => {
                let through = match argument {
                    "now" => self.engine.span().0,
                    number => Revision(number.parse().map_err(|_| unknown(line))?),
                };
                self.compact(through)?;
                Ok(format!("compacted {through}\n"))
            }
            "backup" if Path::new(argument).is_absolute() => {
                Ok(format!("revision {}\n", self.engine.log.copy(Path::new(argument))?))
            }
            _ => Err(unknown(line)),
        }
    }

    fn compact(&self, through: Revision) -> Result<()> {
        let queue = self.queue.upgrade().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        queue.blocking_send(Request { command: Command::Compact(through), reply }).map_err(|_| closed())?;
        drop(queue);
        answer.blocking_recv().map_err(|_| closed())?.map(drop)
    }
}

fn unknown(line: &str) -> StoreError {
    StoreError::Unavailable(format!("the store understands no {line:?}"))
}

/// The failure and its causes.
fn one_line(failure: &StoreError) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text.replace('\n', " ")
}

fn facts_text(facts: &Facts) -> String {
    format!(
        "revision {}\ncompacted {}\nkeys {}\nversions {}\nleases {}\nused-bytes {}\nfile-bytes {}\n",
        facts.revision,
        facts.compacted,
        facts.keys,
        facts.versions,
        facts.leases,
        facts.used_bytes,
        facts.file_bytes
    )
}

/// What a store answers an operator: names and values, or why not.
pub type Answered = Result<Vec<(String, String)>, String>;

/// Asks the process that has the store open. `None` if none listens there; the inner error is its refusal.
pub fn ask_embedded(socket: &Path, request: &str) -> io::Result<Option<Answered>> {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let mut lines = answer.lines();
    match lines.next() {
        Some("ok") => {
            let pairs = lines.map(|line| line.split_once(' ').unwrap_or((line, "")));
            Ok(Some(Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())))
        }
        Some(refused) => Ok(Some(Err(refused.strip_prefix("error ").unwrap_or(refused).to_owned()))),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
