//! A container's log in CRI's format: `<time> <stream> <F or P> <line>`, reopened when the kubelet has rotated it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A longer line is cut in parts with the tag `P`, as containerd does.
const LINE_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The file, and for each stream the line that has no end yet.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    open_lines: [Vec<u8>; 2],
}

impl Log {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: open(path)?, open_lines: Default::default() })
    }

    /// Opens the path anew: the kubelet has renamed the file.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    /// Appends output. A full disk loses lines; the container is not held up by it.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let pending = &mut self.open_lines[stream as usize];
        format_lines(&mut out, pending, stream, bytes, &timestamp(SystemTime::now()));
        // See above: there is nobody to tell.
        let _ = self.file.write_all(&out);
    }

    /// The stream has ended: what is left of a line is written as it is.
    pub(crate) fn finish(&mut self, stream: Stream) {
        let pending = std::mem::take(&mut self.open_lines[stream as usize]);
        if !pending.is_empty() {
            let mut out = Vec::with_capacity(pending.len() + 64);
            entry(&mut out, stream, "P", &pending, &timestamp(SystemTime::now()));
            // See `write`.
            let _ = self.file.write_all(&out);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn entry(out: &mut Vec<u8>, stream: Stream, tag: &str, line: &[u8], time: &str) {
    for part in [time.as_bytes(), b" ", stream.name().as_bytes(), b" ", tag.as_bytes(), b" ", line, b"\n"] {
        out.extend_from_slice(part);
    }
}

fn format_lines(out: &mut Vec<u8>, pending: &mut Vec<u8>, stream: Stream, bytes: &[u8], time: &str) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (line, ended) = match piece.strip_suffix(b"\n") {
            Some(line) => (line, true),
            None => (piece, false),
        };
        let mut line = line;
        while pending.len() + line.len() > LINE_BYTES_MAX {
            let (now, later) = line.split_at(LINE_BYTES_MAX - pending.len());
            pending.extend_from_slice(now);
            entry(out, stream, "P", pending, time);
            pending.clear();
            line = later;
        }
        if ended && pending.is_empty() {
            entry(out, stream, "F", line, time);
        } else if ended {
            pending.extend_from_slice(line);
            entry(out, stream, "F", pending, time);
            pending.clear();
        } else {
            pending.extend_from_slice(line);
        }
    }
}

/// RFC 3339 with nanoseconds, in UTC. Written by hand: the shim stays small without a calendar crate's tables.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days since 1 March of year 0, in eras of 400 years (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_rfc_3339() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000000007Z"),
            (1_795_224_359, "2026-11-21T01:25:59.000000007Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::new(seconds, 7)), want);
        }
    }

    #[test]
    fn lines_are_whole_or_tagged_as_parts() {
        let (mut out, mut pending) = (Vec::new(), Vec::new());
        for bytes in ["one\ntw", "o\n", "\n"] {
            format_lines(&mut out, &mut pending, Stream::Stdout, bytes.as_bytes(), "T");
        }
        assert_eq!(String::from_utf8(out).expect("text"), "T stdout F one\nT stdout F two\nT stdout F \n");
    }

    #[test]
    fn a_long_line_is_cut() {
        let (mut out, mut pending) = (Vec::new(), Vec::new());
        let mut line = vec![b'x'; LINE_BYTES_MAX + 5];
        line.push(b'\n');
        format_lines(&mut out, &mut pending, Stream::Stderr, &line, "T");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("T stderr P xxx"));
        assert_eq!(lines[1], "T stderr F xxxxx");
    }
}
