//! Runs one target for a while: mutates, watches, keeps what is new, and leaves a file when something breaks.
//!
//! The target runs on a thread with a small stack; the thread that started it watches time and memory. Each input is
//! written down before it is tried, so that it is known even when the process dies of it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::mutate::mutate;
use crate::rng::Rng;
use crate::{Seen, Target, corpus};

/// What a thread of the server has; frames that are not optimised are several times as large.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 8 } else { 2 } * 1024 * 1024;
/// Inputs that are kept to mutate further.
const POOL_MAX: usize = 4096;
/// How often time and memory are looked at.
const LOOK: Duration = Duration::from_millis(100);
const CURRENT: &str = "current";

#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    pub time: Duration,
    /// What one input may take.
    pub input_time: Duration,
    pub mebibytes: u64,
    /// Where findings go.
    pub folder: PathBuf,
}

/// How a run ended well.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    pub runs: u64,
    pub kept: usize,
}

/// What a run found.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    #[error("panicked, see {}", .0.display())]
    Panic(PathBuf),
    #[error("took longer than {limit:?}, see {}", .path.display())]
    Slow { limit: Duration, path: PathBuf },
    #[error("memory grew above {limit} MiB, see {}", .path.display())]
    Memory { limit: u64, path: PathBuf },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the target in this process. A finding may leave a thread behind: the process is to end then.
pub fn run(target: &'static Target, options: &Options) -> Result<Report, Finding> {
    fs::create_dir_all(&options.folder)?;
    let started = Instant::now();
    let current: &'static Current = Box::leak(Box::new(Current {
        file: File::create(options.folder.join(CURRENT))?,
        since_ms: AtomicU64::new(0),
        started,
    }));
    let (done, outcome) = channel();
    let work = options.clone();
    std::thread::Builder::new()
        .name(target.name.to_string())
        .stack_size(STACK_BYTES)
        .spawn(move || done.send(work_on(target, &work, current)))?;
    loop {
        match outcome.recv_timeout(LOOK) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Finding::Panic(rescue(&options.folder, "died")?));
            }
            Err(RecvTimeoutError::Timeout) => {
                if current.busy_for() > options.input_time {
                    let path = rescue(&options.folder, "slow")?;
                    return Err(Finding::Slow { limit: options.input_time, path });
                }
                if resident_mebibytes() > options.mebibytes {
                    let path = rescue(&options.folder, "memory")?;
                    return Err(Finding::Memory { limit: options.mebibytes, path });
                }
            }
        }
    }
}

/// The input that is being tried.
struct Current {
    file: File,
    /// Since the start of the run; 0 between inputs.
    since_ms: AtomicU64,
    started: Instant,
}

impl Current {
    fn begin(&self, input: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(input.len() + 8);
        record.extend((input.len() as u64).to_le_bytes());
        record.extend(input);
        self.file.write_all_at(&record, 0)?;
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(now.max(1), Ordering::Relaxed);
        Ok(())
    }

    fn end(&self) {
        self.since_ms.store(0, Ordering::Relaxed);
    }

    fn busy_for(&self) -> Duration {
        match self.since_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.started.elapsed().saturating_sub(Duration::from_millis(since)),
        }
    }
}

fn work_on(target: &Target, options: &Options, current: &Current) -> Result<Report, Finding> {
    let mut rng = Rng::new(options.seed);
    let mut pool: Vec<Vec<u8>> = corpus::seeds(target.name)?.into_iter().map(|(_, seed)| seed).collect();
    let mut seen: HashSet<Seen> = HashSet::new();
    for seed in &pool {
        seen.insert(attempt(target, options, current, seed)?);
    }
    if pool.is_empty() {
        pool.push(Vec::new());
    }
    let end = Instant::now() + options.time;
    let mut runs = pool.len() as u64;
    while Instant::now() < end {
        let input = mutate(target, &pool, &mut rng);
        runs += 1;
        if seen.insert(attempt(target, options, current, &input)?) {
            if pool.len() < POOL_MAX {
                pool.push(input);
            } else {
                let at = rng.below(pool.len());
                pool[at] = input;
            }
        }
    }
    Ok(Report { runs, kept: pool.len() })
}

fn attempt(target: &Target, options: &Options, current: &Current, input: &[u8]) -> Result<Seen, Finding> {
    current.begin(input)?;
    let seen = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    current.end();
    match seen {
        Ok(seen) => Ok(seen),
        Err(_) => {
            let path = options.folder.join(format!("panic-{:016x}", hash(input)));
            fs::write(&path, input)?;
            Err(Finding::Panic(path))
        }
    }
}

/// Saves the input that was being tried when a run ended badly.
pub fn rescue(folder: &Path, kind: &str) -> io::Result<PathBuf> {
    let record = fs::read(folder.join(CURRENT))?;
    let (length, rest) = record.split_at_checked(8).unwrap_or((&[], &[]));
    let length = length.try_into().map_or(0, u64::from_le_bytes);
    let input = rest.get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or(rest);
    let path = folder.join(format!("{kind}-{:016x}", hash(input)));
    fs::write(&path, input)?;
    Ok(path)
}

fn hash(input: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    hasher.finish()
}

/// The second number of `statm` is pages in memory.
fn resident_mebibytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096 / (1024 * 1024)
}
