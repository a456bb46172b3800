//! The log backend: everything that is queued goes into the file with one write, and who waits is told.

use std::io::{self, Write as _};
use std::path::Path;

use jiff::Timestamp;
use oarlock_base::Shutdown;
use tokio::sync::mpsc;

use crate::metrics::Metrics;
use crate::rotate::{Rotating, Rotation};
use crate::sink::Item;

/// Most events in one write.
const BATCH_MAX: usize = 400;
/// Most bytes in one write, but for the last event of it.
const BATCH_BYTES_MAX: usize = 1 << 20;

pub(crate) enum Target {
    Stdout,
    File(Box<Rotating>),
}

impl Target {
    /// `-` is standard output.
    pub(crate) fn open(path: &str, rotation: Rotation) -> io::Result<Self> {
        if path == "-" {
            return Ok(Self::Stdout);
        }
        Ok(Self::File(Box::new(Rotating::open(Path::new(path), rotation)?)))
    }

    fn write(&mut self, lines: &[u8], now: Timestamp) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Self::File(file) => file.write(lines, now),
        }
    }
}

/// Writes until the shutdown, and then what is queued still.
pub(crate) async fn run(
    mut target: Target,
    mut items: mpsc::Receiver<Item>,
    metrics: Metrics,
    stop: Shutdown,
) -> Result<(), std::convert::Infallible> {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut stopping = false;
    loop {
        if stopping {
            if items.recv_many(&mut batch, BATCH_MAX).await == 0 {
                return Ok(());
            }
        } else {
            match stop.or(items.recv_many(&mut batch, BATCH_MAX)).await {
                Some(0) => return Ok(()),
                Some(_) => {}
                None => {
                    stopping = true;
                    items.close();
                    continue;
                }
            }
        }
        let counters = metrics.clone();
        let writing = tokio::task::spawn_blocking(move || {
            write_all(&mut target, &mut batch, &counters);
            (target, batch)
        });
        match writing.await {
            Ok(back) => (target, batch) = back,
            // The runtime is ending, or writing panicked: the queue ends with this, and who sends is told.
            Err(error) => {
                metrics.failed("log", 0, &error);
                return Ok(());
            }
        }
    }
}

/// Empties the batch.
fn write_all(target: &mut Target, batch: &mut Vec<Item>, metrics: &Metrics) {
    let mut items = batch.drain(..).peekable();
    let mut lines = Vec::new();
    while items.peek().is_some() {
        lines.clear();
        let mut together = Vec::new();
        while lines.len() < BATCH_BYTES_MAX
            && let Some(item) = items.next()
        {
            lines.extend_from_slice(&item.event);
            lines.push(b'\n');
            together.push(item);
        }
        let written = target.write(&lines, Timestamp::now());
        if let Err(error) = &written {
            metrics.failed("log", together.len(), error);
        }
        together.into_iter().for_each(|item| item.tell(written.is_ok()));
    }
}
