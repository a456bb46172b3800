//! What an operator does to a store that nobody has open: check, defragment, copy, restore.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _};

use super::EmbeddedOptions;
use super::disk::open_database;
use super::failure::{Failure, guarded};
use super::file::FileMedium;
use super::format::{COMPACTED, COUNTERS, REVISION, create_new, write_copy};
use super::inspect::{Facts, inspect};
use crate::types::{Result, Revision, StoreError};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub facts: Facts,
    /// What contradicts itself, in words; none in a sound store.
    pub faults: Vec<String>,
    /// The file's own structures had to be repaired: it was not closed in order. Nothing acknowledged was lost by that.
    pub repaired: bool,
}

/// What a restored store claims to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Restore {
    /// Added to the newest revision, so that no client has seen a newer one. History is then gone: watches list again.
    pub bump_revision: u64,
    /// A store that is in the way is kept beside the new one instead of refusing.
    pub force: bool,
}

/// Reads everything: the file's checksums, every version, the index against the log.
pub fn check_embedded(path: &Path) -> Result<Report> {
    let mut database = open_existing(path)?;
    let checked = guarded(|| {
        let sound = database.check_integrity()?;
        Ok((sound, inspect(&database.begin_read()?)?))
    });
    let (sound, (mut facts, faults)) = checked.map_err(Failure::into_error)?;
    facts.file_bytes = size(path)?;
    Ok(Report { facts, faults, repaired: !sound })
}

/// Gives back free space. What the file took before and takes now, in bytes.
pub fn defragment_embedded(path: &Path) -> Result<(u64, u64)> {
    let before = size(path)?;
    compact(&mut open_existing(path)?)?;
    Ok((before, size(path)?))
}

/// A copy of a store as a new file. The revision that it holds.
pub fn copy_embedded(path: &Path, to: &Path) -> Result<Revision> {
    let database = open_existing(path)?;
    let txn = database.begin_read().map_err(|e| Failure::from(e).into_error())?;
    let revision = write_copy(&txn, to).map_err(Failure::into_error)?;
    sync_folder(to)?;
    Ok(revision)
}

/// Puts the snapshot `from` in the place of the store `to`, after checking it. Gives the new store's revision, and where the
/// old one went.
pub fn restore_embedded(from: &Path, to: &Path, how: Restore) -> Result<(Revision, Option<PathBuf>)> {
    let new = beside(to, "new");
    // What an earlier attempt left behind is of no use to anybody.
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(failed("make room for the new store", e));
        }
        _ => {}
    }
    if to.exists() {
        if !how.force {
            let message = format!("{} is there already", to.display());
            return Err(StoreError::Unavailable(message));
        }
        // Fails while another process has it open.
        drop(open_existing(to)?);
    }
    copy_embedded(from, &new)?;
    let report = check_embedded(&new)?;
    if let Some(fault) = report.faults.first() {
        return Err(StoreError::Unavailable(format!("the snapshot is damaged: {fault}")));
    }
    let revision = Revision(report.facts.revision.0 + how.bump_revision);
    if how.bump_revision > 0 {
        advance_embedded(&new, revision)?;
    }
    let old = to.exists().then(|| unused(to));
    if let Some(old) = &old {
        std::fs::rename(to, old).map_err(|e| failed("put the old store aside", e))?;
    }
    std::fs::rename(&new, to).map_err(|e| failed("put the new store in its place", e))?;
    sync_folder(to)?;
    Ok((revision, old))
}

/// Makes `revision` the newest and the oldest: whoever knows an older one must list again.
pub fn advance_embedded(path: &Path, revision: Revision) -> Result<()> {
    let database = open_existing(path)?;
    advance(&database, revision).map_err(Failure::into_error)
}

fn advance(database: &Database, revision: Revision) -> Result<(), Failure> {
    let txn = database.begin_write()?;
    {
        let mut counters = txn.open_table(COUNTERS)?;
        let newest = counters.get(REVISION)?.map_or(0, |v| v.value()).max(revision.0);
        counters.insert(REVISION, newest)?;
        counters.insert(COMPACTED, newest)?;
    }
    Ok(txn.commit()?)
}

/// Makes an empty store at `path`, unless there is one. It is made whole elsewhere first: a crash leaves a store or none.
pub(super) fn create(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let failed = |source| failed("make the store's file", source);
    let new = beside(path, &format!("new-{}", std::process::id()));
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    drop(create_new(&new).map_err(Failure::into_error)?);
    // Unlike a rename, a link takes nobody's place.
    let linked = std::fs::hard_link(&new, path);
    std::fs::remove_file(&new).map_err(failed)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed(e)),
        _ => sync_folder(path),
    }
}

/// Moves what is at the file's end into its holes, and cuts it off.
pub(super) fn compact(database: &mut Database) -> Result<()> {
    while database.compact().map_err(|e| Failure::Redb(e.into()).into_error())? {}
    Ok(())
}

fn open_existing(path: &Path) -> Result<Database> {
    // Opening would make a new one.
    size(path)?;
    open_database(&FileMedium(path.to_owned()), &EmbeddedOptions::default())
}

fn size(path: &Path) -> Result<u64> {
    let found = std::fs::metadata(path)
        .map_err(|e| StoreError::Unavailable(format!("there is no store at {}: {e}", path.display())))?;
    Ok(found.len())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn unused(path: &Path) -> PathBuf {
    let mut names = (1_u32..).map(|n| beside(path, &format!("old-{n}")));
    names.find(|name| !name.exists()).expect("a folder holds fewer files than there are numbers")
}

/// A new name in a folder is durable when the folder is.
fn sync_folder(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failed("sync the folder", e))
}

fn failed(tried: &'static str, source: io::Error) -> StoreError {
    StoreError::Backend { tried, source: source.into() }
}
