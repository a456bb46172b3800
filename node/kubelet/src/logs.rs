//! Container logs in CRI's format (`TIME STREAM F|P text`): reading them back, and following them while they grow.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncSeekExt as _, BufReader};
use tokio::sync::mpsc;

mod inotify;

pub(crate) use inotify::Inotify;

/// What a reader of a log wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LogOptions {
    pub(crate) follow: bool,
    pub(crate) tail_lines: Option<usize>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) timestamps: bool,
    pub(crate) limit_bytes: Option<usize>,
    /// `stdout` or `stderr`; both when `None`.
    pub(crate) stream: Option<String>,
}

/// How often a follower asks whether the container still runs, when its log is silent.
const STILL_RUNNING: Duration = Duration::from_secs(1);
/// Reading backwards goes by blocks of this size.
const BLOCK: u64 = 8192;

/// One entry of a log.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    time: &'a str,
    stream: &'a str,
    partial: bool,
    text: &'a str,
}

fn parse(line: &str) -> Option<Entry<'_>> {
    let mut fields = line.splitn(4, ' ');
    let (time, stream, tag) = (fields.next()?, fields.next()?, fields.next()?);
    let partial = tag.split(':').any(|tag| tag == "P");
    Some(Entry { time, stream, partial, text: fields.next().unwrap_or_default() })
}

/// The text of the last lines of a log; empty where it cannot be read.
pub(crate) async fn tail(path: PathBuf, lines: usize, bytes: u64) -> String {
    let read = async {
        let mut file = File::open(&path).await?;
        let from = last_lines(&mut file, lines).await?;
        let end = file.metadata().await?.len();
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(bytes)))).await?;
        let mut content = Vec::new();
        file.take(bytes).read_to_end(&mut content).await?;
        Ok::<_, std::io::Error>(content)
    };
    let content = read.await.unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let mut out = String::new();
    for entry in text.lines().filter_map(parse) {
        out.push_str(entry.text);
        if !entry.partial {
            out.push('\n');
        }
    }
    out
}

/// Where the last `count` lines begin.
async fn last_lines(file: &mut File, count: usize) -> std::io::Result<u64> {
    let end = file.metadata().await?.len();
    if count == 0 {
        return Ok(end);
    }
    let (mut at, mut seen) = (end, 0);
    let mut block = vec![0; BLOCK as usize];
    while at > 0 {
        let start = at.saturating_sub(BLOCK);
        let length = usize::try_from(at - start).unwrap_or(0);
        file.seek(SeekFrom::Start(start)).await?;
        file.read_exact(&mut block[..length]).await?;
        for (i, _) in block[..length].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let next = start + i as u64 + 1;
            // The newline that ends the last line begins no other.
            if next == end {
                continue;
            }
            seen += 1;
            if seen == count {
                return Ok(next);
            }
        }
        at = start;
    }
    Ok(0)
}

/// Formats entries for a reader, within its limit.
struct Formatter<'a> {
    options: &'a LogOptions,
    left: usize,
    /// The entry before this one was cut: this one goes on in the same line.
    midline: bool,
}

impl<'a> Formatter<'a> {
    fn new(options: &'a LogOptions) -> Self {
        Self { options, left: options.limit_bytes.unwrap_or(usize::MAX), midline: false }
    }

    /// The bytes that a line becomes; `None` where it is not wanted.
    fn format(&mut self, line: &str) -> Option<Bytes> {
        let entry = parse(line.trim_end_matches('\n'))?;
        let wanted = self.options.stream.as_deref().is_none_or(|stream| stream == entry.stream);
        let early = self
            .options
            .since
            .is_some_and(|since| entry.time.parse::<Timestamp>().is_ok_and(|time| time < since));
        if !wanted || early {
            return None;
        }
        let mut out = String::with_capacity(line.len());
        if self.options.timestamps && !self.midline {
            out.push_str(entry.time);
            out.push(' ');
        }
        out.push_str(entry.text);
        if !entry.partial {
            out.push('\n');
        }
        self.midline = entry.partial;
        let mut bytes = out.into_bytes();
        bytes.truncate(self.left);
        self.left -= bytes.len();
        Some(bytes.into())
    }
}

/// Sends a log to a reader until its end, or, when following, until the container has ended or the reader is gone.
pub(crate) async fn send<R>(
    path: &Path,
    options: &LogOptions,
    still_running: impl Fn() -> R,
    out: mpsc::Sender<Bytes>,
) -> std::io::Result<()>
where
    R: Future<Output = bool>,
{
    let watch = if options.follow { Some(Inotify::watch(path)?) } else { None };
    let mut file = File::open(path).await?;
    let from = match options.tail_lines {
        Some(count) => last_lines(&mut file, count).await?,
        None => 0,
    };
    file.seek(SeekFrom::Start(from)).await?;
    let mut reader = BufReader::new(file);
    let mut formatter = Formatter::new(options);
    let mut line = String::new();
    // `None` before the first question.
    let mut ended = None;
    loop {
        let mut raw = std::mem::take(&mut line).into_bytes();
        let read = reader.read_until(b'\n', &mut raw).await?;
        line = String::from_utf8_lossy(&raw).into_owned();
        if line.ends_with('\n') {
            if let Some(bytes) = formatter.format(&line)
                && out.send(bytes).await.is_err()
            {
                return Ok(());
            }
            line.clear();
            if formatter.left == 0 {
                return Ok(());
            }
            continue;
        }
        let Some(watch) = &watch else {
            // The last line may lack its newline while it is being written; it is whole enough to show.
            if let Some(bytes) = formatter.format(&line) {
                let _ = out.send(bytes).await; // a reader that is gone misses nothing
            }
            return Ok(());
        };
        if read > 0 {
            continue;
        }
        match ended {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => {
                // One more look after the end, for what was written just before it.
                ended = Some(!still_running().await);
                continue;
            }
        }
        if replaced(&reader, path).await {
            reader = BufReader::new(File::open(path).await?);
            line.clear();
            continue;
        }
        tokio::select! {
            () = out.closed() => return Ok(()),
            changed = tokio::time::timeout(STILL_RUNNING, watch.changed()) => {
                ended = Some(changed.is_err() && !still_running().await);
            }
        }
    }
}

/// Whether the log was rotated: the path names another file now.
async fn replaced(reader: &BufReader<File>, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(open), Ok(named)) = (reader.get_ref().metadata().await, tokio::fs::metadata(path).await) else {
        return false;
    };
    open.ino() != named.ino()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::Ordering::Relaxed;

    const LOG: &str = "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stderr P tw\n2026-01-01T00:00:03Z stderr F o\n2026-01-01T00:00:04Z stdout F three\n";

    async fn read(options: LogOptions) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("0.log");
        std::fs::write(&path, LOG).expect("written");
        let (sender, mut receiver) = mpsc::channel(64);
        send(&path, &options, || async { false }, sender).await.expect("read");
        let mut out = Vec::new();
        while let Some(bytes) = receiver.recv().await {
            out.extend_from_slice(&bytes);
        }
        String::from_utf8(out).expect("text")
    }

    #[tokio::test]
    async fn options_of_a_reader() {
        let all = LogOptions::default;
        for (options, expected) in [
            (all(), "one\ntwo\nthree\n"),
            (LogOptions { tail_lines: Some(1), ..all() }, "three\n"),
            (LogOptions { tail_lines: Some(0), ..all() }, ""),
            (LogOptions { tail_lines: Some(9), ..all() }, "one\ntwo\nthree\n"),
            (LogOptions { limit_bytes: Some(5), ..all() }, "one\nt"),
            (LogOptions { stream: Some("stdout".into()), ..all() }, "one\nthree\n"),
            (LogOptions { since: "2026-01-01T00:00:04Z".parse().ok(), ..all() }, "three\n"),
            (
                LogOptions { timestamps: true, ..all() },
                "2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two\n2026-01-01T00:00:04Z three\n",
            ),
        ] {
            assert_eq!(read(options.clone()).await, expected, "{options:?}");
        }
    }

    #[tokio::test]
    async fn a_follower_sees_what_comes_and_ends_with_the_container() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("0.log");
        std::fs::write(&path, LOG).expect("written");
        let options = LogOptions { follow: true, tail_lines: Some(1), ..LogOptions::default() };
        let (sender, mut receiver) = mpsc::channel(64);
        let running = std::sync::atomic::AtomicBool::new(true);
        let append = async {
            use std::io::Write as _;
            assert_eq!(receiver.recv().await.expect("the last line so far"), "three\n");
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("the log");
            writeln!(file, "2026-01-01T00:00:05Z stdout F four").expect("written");
            receiver.recv().await.expect("the new line")
        };
        let (sent, got) =
            tokio::join!(send(&path, &options, || async { running.swap(false, Relaxed) }, sender), append);
        sent.expect("followed");
        assert_eq!(got, "four\n");
    }

    #[tokio::test]
    async fn last_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("0.log");
        std::fs::write(&path, LOG).expect("written");
        assert_eq!(tail(path, 2, 2048).await, "o\nthree\n");
    }
}
