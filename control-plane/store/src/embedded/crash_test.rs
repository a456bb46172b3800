//! The embedded store on a disk that dies at a counted moment, losing or tearing what was not synced: what was acknowledged is
//! there when it is opened again, and nothing in the file contradicts itself. The seed is printed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use redb::{BackendError, Database, StorageBackend};

use super::EmbeddedOptions;
use super::disk::Disk;
use super::file::Medium;
use crate::engine::{Answer, Engine, Writer};
use crate::mvcc::Command;
use crate::types::{ListOptions, Op, Revision, StoreError, Txn, TxnReply};

/// What is torn is torn between these.
const SECTOR: usize = 512;
const KEYS: u64 = 8;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A write or a change of length that has not been synced.
#[derive(Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Default)]
struct Image {
    /// What a reboot finds for certain.
    durable: Vec<u8>,
    /// What the running system sees.
    seen: Vec<u8>,
    pending: Vec<Pending>,
    /// Operations until the power fails.
    left: Option<u64>,
}

impl Image {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the power has failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn apply(to: &mut Vec<u8>, change: &Pending) {
        match change {
            Pending::Length(length) => to.resize(*length as usize, 0),
            Pending::Write(at, bytes) => {
                let at = *at as usize;
                if to.len() < at + bytes.len() {
                    to.resize(at + bytes.len(), 0);
                }
                to[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// Of what was not synced, each sector comes or does not, as it happens.
    fn reboot(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Pending::Length(_) if random.below(2) == 0 => {}
                Pending::Length(length) => Self::apply(&mut self.durable, &Pending::Length(length)),
                Pending::Write(at, bytes) => {
                    let mut from = 0;
                    while from < bytes.len() {
                        let to = bytes.len().min(from + SECTOR);
                        if random.below(2) == 0 {
                            let piece = Pending::Write(at + from as u64, bytes[from..to].to_vec());
                            Self::apply(&mut self.durable, &piece);
                        }
                        from = to;
                    }
                }
            }
        }
        self.seen = self.durable.clone();
        self.left = None;
    }
}

#[derive(Debug, Clone, Default)]
struct FaultyDisk(Arc<Mutex<Image>>);

impl Medium for FaultyDisk {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn path(&self) -> &Path {
        Path::new("a faulty disk")
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let image = self.0.lock();
        let at = offset as usize;
        let found = image.seen.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut image = self.0.lock();
        image.step()?;
        let change = Pending::Length(len);
        Image::apply(&mut image.seen, &change);
        image.pending.push(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut image = self.0.lock();
        image.step()?;
        image.durable = image.seen.clone();
        image.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut image = self.0.lock();
        let change = Pending::Write(offset, data.to_vec());
        // A write that the power failure meets may have come in part.
        let done = image.step();
        Image::apply(&mut image.seen, &change);
        image.pending.push(change);
        done
    }

    fn close(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock_range(&self, _: std::ops::Bound<u64>, _: std::ops::Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(
        &self,
        _: std::ops::Bound<u64>,
        _: std::ops::Bound<u64>,
    ) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: std::ops::Bound<u64>, _: std::ops::Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(
        &self,
        _: std::ops::Bound<u64>,
        _: std::ops::Bound<u64>,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: std::ops::Bound<u64>, _: std::ops::Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(
        &self,
        _: std::ops::Bound<u64>,
        _: std::ops::Bound<u64>,
    ) -> Result<bool, BackendError> {
        Ok(true)
    }
}

/// What was acknowledged last of each key: its revision, and whether it is there.
type Known = std::collections::BTreeMap<u64, (Revision, bool)>;

fn open(disk: &FaultyDisk) -> Result<(Engine<Disk>, Writer), StoreError> {
    Engine::open(Disk::open(Arc::new(disk.clone()), EmbeddedOptions::default())?)
}

fn name(key: u64) -> Bytes {
    format!("/k/{key}").into()
}

fn command(random: &mut Random) -> (u64, bool, Command) {
    let key = random.below(KEYS);
    let put = random.below(4) > 0;
    let op = if put {
        let size = if random.below(8) == 0 { 9000 } else { random.below(300) };
        Op::Put { key: name(key), value: vec![key as u8; size as usize].into(), lease: None }
    } else {
        Op::Delete { key: name(key) }
    };
    (key, put, Command::Transact(Txn { guards: Vec::new(), ops: vec![op] }))
}

/// Writes until the power fails; what was acknowledged goes into `known`. Keys of the group that failed are in doubt.
fn work(engine: &Engine<Disk>, writer: &mut Writer, random: &mut Random, known: &mut Known) -> Vec<u64> {
    loop {
        let group: Vec<_> = (0..1 + random.below(4)).map(|_| command(random)).collect();
        let (about, mut commands): (Vec<_>, Vec<_>) = group.into_iter().map(|(k, p, c)| ((k, p), c)).unzip();
        if random.below(10) == 0 {
            commands.push(Command::Compact(engine.span().0));
        }
        let answers = engine.write(writer, commands);
        for (&(key, put), answer) in about.iter().zip(&answers) {
            match answer {
                Ok(Answer::Txn(TxnReply::Done { revision })) => {
                    if put || known.get(&key).is_some_and(|(_, there)| *there) {
                        known.insert(key, (*revision, put));
                    }
                }
                _ => return about.into_iter().map(|(key, _)| key).collect(),
            }
        }
    }
}

fn verify(disk: &FaultyDisk, known: &mut Known, doubtful: &[u64], context: &str) {
    let (engine, _) = open(disk).unwrap_or_else(|e| panic!("{context}: {e:?}"));
    let (_, faults) = engine.log.inspect().unwrap_or_else(|e| panic!("{context}: {e:?}"));
    assert!(faults.is_empty(), "{context}: {faults:?}");
    let listing = engine.list(b"/k/", &ListOptions::default()).unwrap_or_else(|e| panic!("{context}: {e:?}"));
    for key in 0..KEYS {
        let found = listing.items.iter().find(|kv| kv.key == name(key)).map(|kv| kv.mod_revision);
        let expected = known.get(&key).filter(|(_, there)| *there).map(|(revision, _)| *revision);
        if doubtful.contains(&key) {
            // What was not acknowledged may be there; then it is newer.
            assert!(
                found.is_none() || found >= expected,
                "{context}: {key} went back to {found:?} from {expected:?}"
            );
        } else {
            assert_eq!(found, expected, "{context}: {key}");
        }
        known.insert(key, (found.unwrap_or_default(), found.is_some()));
    }
    drop(engine);
    // The file's own checksums, too.
    let mut database =
        Database::builder().create_with_backend(disk.clone()).unwrap_or_else(|e| panic!("{context}: {e}"));
    let sound = database.check_integrity().unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(sound, "{context}: the file needed repair although it had just been opened and closed");
}

#[test]
fn what_was_acknowledged_survives_power_failures() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let given = std::env::var("OARLOCK_SEED").ok().and_then(|s| s.parse().ok());
    let seed: u64 = given.unwrap_or(now.as_nanos() as u64);
    println!("OARLOCK_SEED={seed}");
    let mut random = Random(seed);
    for life in 0..4 {
        let disk = FaultyDisk::default();
        // A store is made whole beside its place, so no crash meets a half of it.
        drop(open(&disk).expect("nothing fails yet"));
        let mut known = Known::new();
        for failure in 0..40 {
            let context = format!("seed {seed}, life {life}, failure {failure}");
            disk.0.lock().left = Some(random.below(if failure % 3 == 0 { 40 } else { 400 }));
            // The power may fail while it opens, too.
            let doubtful = match open(&disk) {
                Ok((engine, mut writer)) => work(&engine, &mut writer, &mut random, &mut known),
                Err(_) => Vec::new(),
            };
            disk.0.lock().reboot(&mut random);
            verify(&disk, &mut known, &doubtful, &context);
        }
    }
}
