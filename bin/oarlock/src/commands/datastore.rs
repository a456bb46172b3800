//! `oarlock datastore …`: the cluster's memory, in a file or in etcd. What is done is in the store; here it is asked for
//! and told.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use oarlock_base::Shutdown;
use oarlock_store::migrate::{Datastore, migrate};
use oarlock_store::{
    EmbeddedOptions, Etcd, Facts, Restore, Revision, Store as _, advance_embedded, ask_embedded,
    check_embedded, copy_embedded, defragment_embedded, etcd, open_embedded, restore_embedded,
};

use crate::etcd_flags::EtcdFlags;
use crate::layout::Layout;
use crate::settings::Place;

/// Added by `restore`: more than any cluster writes between a backup and its restoration.
const BUMP: u64 = 1_000_000_000;

/// Which store.
#[derive(Args, Debug)]
pub(crate) struct Which {
    #[command(flatten)]
    pub place: Place,
    /// The store: a file, or the URLs of etcd's members [default: the embedded store of --data-dir]
    #[arg(long, value_name = "FILE|URL,...")]
    pub datastore: Option<String>,
    #[command(flatten)]
    pub etcd: EtcdFlags,
}

#[derive(Subcommand)]
pub(crate) enum DatastoreCommand {
    /// Tells what the store holds and how it is
    Status(Which),
    /// Writes a copy to a new file; a store that serves goes on serving
    ///
    /// Of the embedded store, the copy is a store itself. Of etcd, it is a snapshot in etcd's own format, for `etcdutl snapshot
    /// restore`.
    Backup {
        #[command(flatten)]
        which: Which,
        /// The new file
        to: PathBuf,
    },
    /// Puts a backup in the place of the embedded store, after checking it; the cluster must be stopped
    ///
    /// The restored store counts its revisions on from far above those of the backup, and forgets its history: so no client has
    /// seen a newer revision than there is, and all watches list again.
    Restore {
        #[command(flatten)]
        which: Which,
        /// The backup
        from: PathBuf,
        /// What is added to the backup's revision
        #[arg(long, value_name = "N", default_value_t = BUMP)]
        bump_revision: u64,
        /// Put a store that is there aside (as FILE.old-N)
        #[arg(long)]
        force: bool,
    },
    /// Reads everything and looks for contradictions; of a stopped embedded store also the file's checksums
    Check(Which),
    /// Gives back free space; reads and writes wait meanwhile
    Defrag(Which),
    /// Forgets history; watches that need it list again
    Compact {
        #[command(flatten)]
        which: Which,
        /// Keep what is needed from this revision on [default: the newest]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Moves a cluster between an embedded store and etcd, and compares both afterwards
    ///
    /// Stop all API servers first. Keys and values are copied byte for byte (encrypted values stay encrypted: take the
    /// encryption keys along), leases with what is left of their time. Revision numbers are not moved: etcd counts its own, and
    /// they cannot be set. Whoever watches has to list again. Clients do that by themselves when they are told (410 Gone); one that
    /// kept a number which the new store has not reached yet might wait for it instead, so where etcd's revision is below the
    /// source's, restart what watches: kubelets, controllers, schedulers, operators. An embedded target counts on from the
    /// source's revision, and tells them.
    Migrate {
        /// The store to read: a file, or the URLs of etcd's members
        #[arg(long, value_name = "FILE|URL,...")]
        from: String,
        /// The store to write: a new file, or the URLs of etcd's members
        #[arg(long, value_name = "FILE|URL,...")]
        to: String,
        /// Make a target that holds something the same as the source
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        etcd: EtcdFlags,
    },
}

/// Where a store is.
enum Location {
    /// A file, and the socket of the process that may have it open.
    File {
        path: PathBuf,
        socket: Option<PathBuf>,
    },
    Etcd(Vec<String>),
}

impl Location {
    fn parse(text: &str) -> Self {
        if text.starts_with("http://") || text.starts_with("https://") {
            Self::Etcd(text.split(',').map(|url| url.trim().to_string()).collect())
        } else {
            Self::File { path: text.into(), socket: None }
        }
    }
}

impl Which {
    fn location(&self) -> Location {
        let layout = Layout::new(&self.place.data_dir);
        match &self.datastore {
            Some(text) => Location::parse(text),
            None => Location::File { path: layout.store(), socket: Some(layout.store_socket()) },
        }
    }
}

pub(crate) async fn run(command: DatastoreCommand) -> Result<()> {
    match command {
        DatastoreCommand::Status(which) => status(&which).await,
        DatastoreCommand::Backup { which, to } => backup(&which, &to).await,
        DatastoreCommand::Restore { which, from, bump_revision, force } => {
            restore(&which, &from, Restore { bump_revision, force })
        }
        DatastoreCommand::Check(which) => check(&which).await,
        DatastoreCommand::Defrag(which) => defrag(&which).await,
        DatastoreCommand::Compact { which, revision } => compact(&which, revision).await,
        DatastoreCommand::Migrate { from, to, force, etcd } => move_all(&from, &to, force, &etcd).await,
    }
}

fn connect(endpoints: Vec<String>, flags: &EtcdFlags) -> Result<Arc<Etcd>> {
    Ok(etcd::connect(flags.config(endpoints), &Shutdown::new())?)
}

/// The answer of the process that has the store open; `None` if none has.
fn ask(socket: Option<&PathBuf>, request: &str) -> Result<Option<Vec<(String, String)>>> {
    let Some(socket) = socket else { return Ok(None) };
    let answer = ask_embedded(socket, request).with_context(|| format!("ask at {}", socket.display()))?;
    answer.transpose().map_err(|refusal| anyhow::anyhow!("{refusal}"))
}

fn tell(name: &str, value: impl std::fmt::Display) {
    println!("{name:<11} {value}");
}

fn tell_all(pairs: &[(String, String)]) {
    for (name, value) in pairs {
        match (name.strip_suffix("-bytes"), value.parse::<u64>()) {
            (Some(name), Ok(bytes)) => tell(name, size(bytes)),
            _ => tell(name, value),
        }
    }
}

fn tell_facts(facts: &Facts) {
    tell("revision", facts.revision);
    tell("compacted", facts.compacted);
    tell("keys", facts.keys);
    tell("versions", facts.versions);
    tell("leases", facts.leases);
    tell("used", size(facts.used_bytes));
    tell("file", size(facts.file_bytes));
}

fn size(bytes: u64) -> String {
    match bytes {
        0..0x400 => format!("{bytes} B"),
        0x400..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

async fn status(which: &Which) -> Result<()> {
    match which.location() {
        Location::File { path, socket } => {
            tell("store", path.display());
            if let Some(pairs) = ask(socket.as_ref(), "status")? {
                tell("state", "open");
                tell_all(&pairs);
            } else {
                let report = check_embedded(&path)?;
                tell("state", "closed");
                tell_facts(&report.facts);
            }
            Ok(())
        }
        Location::Etcd(endpoints) => etcd_status(&*connect(endpoints, &which.etcd)?).await,
    }
}

async fn etcd_status(store: &Etcd) -> Result<()> {
    let mut down = 0;
    for (endpoint, status) in store.members().await {
        match status {
            Ok(m) => {
                let role = if m.leader { "leader" } else { "follower" };
                let errors =
                    if m.errors.is_empty() { String::new() } else { format!("; {}", m.errors.join("; ")) };
                let (file, used) = (size(m.size_bytes), size(m.used_bytes));
                tell(
                    "member",
                    format!("{endpoint}: etcd {}, {role}, {file}, {used} used{errors}", m.version),
                );
            }
            Err(failure) => {
                down += 1;
                tell("member", format!("{endpoint}: {failure}"));
            }
        }
    }
    let health = store.health().await?;
    tell("revision", health.revision);
    tell(
        "alarms",
        match (health.no_space, health.corrupt) {
            (false, false) => "none",
            (true, false) => "out of space",
            (false, true) => "corrupt",
            (true, true) => "out of space, corrupt",
        },
    );
    if health.no_space || health.corrupt {
        bail!("etcd has raised an alarm");
    }
    if down > 0 {
        bail!("{down} of etcd's members do not answer");
    }
    Ok(())
}

async fn backup(which: &Which, to: &Path) -> Result<()> {
    let to = std::path::absolute(to)?;
    if to.exists() {
        bail!("{} is there already; a backup overwrites nothing", to.display());
    }
    let revision = match which.location() {
        Location::File { path, socket } => match ask(socket.as_ref(), &format!("backup {}", to.display()))? {
            Some(pairs) => pairs.into_iter().next().map(|(_, revision)| revision).unwrap_or_default(),
            None => copy_embedded(&path, &to)?.to_string(),
        },
        Location::Etcd(endpoints) => {
            let revision = connect(endpoints, &which.etcd)?.snapshot(&to).await?;
            format!("{revision} or newer")
        }
    };
    tell("backup", to.display());
    tell("revision", revision);
    tell("file", size(std::fs::metadata(&to)?.len()));
    Ok(())
}

fn restore(which: &Which, from: &Path, how: Restore) -> Result<()> {
    let Location::File { path, socket } = which.location() else {
        bail!("etcd's members are restored from a snapshot one by one, with `etcdutl snapshot restore`");
    };
    if ask(socket.as_ref(), "status")?.is_some() {
        bail!("the store is open: stop the cluster first");
    }
    if path.exists() && !how.force {
        bail!("{} is there already; --force puts it aside", path.display());
    }
    let (revision, old) = restore_embedded(from, &path, how)?;
    tell("store", path.display());
    tell("revision", revision);
    if let Some(old) = old {
        tell("before", old.display());
    }
    Ok(())
}

async fn check(which: &Which) -> Result<()> {
    let faults: Vec<String> = match which.location() {
        Location::File { path, socket } => match ask(socket.as_ref(), "check")? {
            Some(pairs) => {
                let (faults, facts): (Vec<_>, Vec<_>) =
                    pairs.into_iter().partition(|(name, _)| name == "fault");
                tell_all(&facts);
                println!("The store is open: the checksums of its file are looked at when it is stopped.");
                faults.into_iter().map(|(_, fault)| fault).collect()
            }
            None => {
                let report = check_embedded(&path)?;
                tell_facts(&report.facts);
                if report.repaired {
                    println!(
                        "The file had not been closed in order and was repaired; nothing acknowledged was lost."
                    );
                }
                report.faults
            }
        },
        Location::Etcd(endpoints) => return etcd_status(&*connect(endpoints, &which.etcd)?).await,
    };
    for fault in &faults {
        println!("fault       {fault}");
    }
    if faults.is_empty() {
        println!("No faults.");
        Ok(())
    } else {
        bail!("the store contradicts itself in {} places", faults.len())
    }
}

async fn defrag(which: &Which) -> Result<()> {
    let (before, after) = match which.location() {
        Location::File { path, socket } => match ask(socket.as_ref(), "defrag")? {
            Some(pairs) => {
                let mut sizes = pairs.into_iter().map(|(_, bytes)| bytes.parse().unwrap_or(0));
                (sizes.next().unwrap_or(0), sizes.next().unwrap_or(0))
            }
            None => defragment_embedded(&path)?,
        },
        Location::Etcd(endpoints) => {
            let store = connect(endpoints, &which.etcd)?;
            let before = total(&store).await;
            store.defragment().await?;
            (before, total(&store).await)
        }
    };
    println!("{} → {}", size(before), size(after));
    Ok(())
}

async fn total(store: &Etcd) -> u64 {
    store.members().await.into_iter().filter_map(|(_, status)| status.ok()).map(|m| m.size_bytes).sum()
}

async fn compact(which: &Which, revision: Option<u64>) -> Result<()> {
    let through = match which.location() {
        Location::File { path, socket } => {
            let request =
                revision.map_or("compact now".to_string(), |revision| format!("compact {revision}"));
            match ask(socket.as_ref(), &request)? {
                Some(pairs) => pairs.into_iter().next().map(|(_, revision)| revision).unwrap_or_default(),
                None => {
                    let store = existing(&path)?;
                    let through = compact_store(&*store, revision).await?;
                    store.close();
                    through.to_string()
                }
            }
        }
        Location::Etcd(endpoints) => {
            compact_store(&*connect(endpoints, &which.etcd)?, revision).await?.to_string()
        }
    };
    tell("compacted", through);
    Ok(())
}

async fn compact_store(store: &dyn oarlock_store::Store, revision: Option<u64>) -> Result<Revision> {
    let through = match revision {
        Some(revision) => Revision(revision),
        None => store.revision().await?,
    };
    store.compact(through).await?;
    Ok(through)
}

/// Opens a store that must be there.
fn existing(path: &Path) -> Result<Arc<oarlock_store::Embedded>> {
    if !path.exists() {
        bail!("there is no store at {}", path.display());
    }
    let options = EmbeddedOptions { keep_history: None, ..EmbeddedOptions::default() };
    Ok(open_embedded(path, options)?)
}

async fn move_all(from: &str, to: &str, force: bool, flags: &EtcdFlags) -> Result<()> {
    let source = match Location::parse(from) {
        Location::File { path, .. } => Datastore::Embedded(existing(&path)?),
        Location::Etcd(endpoints) => Datastore::Etcd(connect(endpoints, flags)?),
    };
    let target = match Location::parse(to) {
        Location::File { path, .. } => {
            let options = EmbeddedOptions { keep_history: None, ..EmbeddedOptions::default() };
            Datastore::Embedded(open_embedded(&path, options)?)
        }
        Location::Etcd(endpoints) => Datastore::Etcd(connect(endpoints, flags)?),
    };
    let live = std::io::stderr().is_terminal();
    let mut written = 0;
    let moved = migrate(&source, &target, force, |count| {
        written += count;
        if live {
            eprint!("\r{written} keys");
            // Progress that cannot be shown is no reason to stop.
            let _ = std::io::stderr().flush();
        }
    })
    .await;
    if live {
        eprintln!();
    }
    let moved = moved?;
    let below = match &target {
        Datastore::Etcd(store) => {
            Some(store.revision().await?).filter(|reached| *reached < moved.source_revision)
        }
        Datastore::Embedded(store) => {
            let path = store.path().to_owned();
            store.close();
            advance_embedded(&path, moved.source_revision)?;
            None
        }
    };
    tell("from", from);
    tell("to", to);
    tell("keys", moved.digest.keys);
    tell("leases", moved.leases);
    if moved.removed > 0 {
        tell("removed", format!("{} keys that were only in the target", moved.removed));
    }
    tell("bytes", size(moved.digest.bytes));
    tell("sha256", &moved.digest.sha256);
    println!("Both stores were read again and are the same. Watches will list again: revisions differ.");
    if let Some(reached) = below {
        println!(
            "etcd is at revision {reached}, the source was at {}: restart every client that watches.",
            moved.source_revision
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Probe {
        #[command(subcommand)]
        command: DatastoreCommand,
    }

    async fn datastore(arguments: &[&str]) -> Result<()> {
        run(Probe::try_parse_from([&["datastore"], arguments].concat())?.command).await
    }

    #[tokio::test]
    async fn a_store_is_backed_up_restored_and_moved() {
        let folder = tempfile_folder();
        let at = |name: &str| folder.join(name).display().to_string();
        let store = open_embedded(&folder.join("store"), EmbeddedOptions::default()).expect("open");
        let put = |key: &'static str| {
            let op = oarlock_store::Op::Put { key: key.into(), value: "1".into(), lease: None };
            store.transact(oarlock_store::Txn { guards: Vec::new(), ops: vec![op] })
        };
        put("/registry/a").await.expect("put");
        put("/registry/b").await.expect("put");
        let in_use = datastore(&["check", "--datastore", &at("store")]).await.expect_err("it is open");
        assert!(in_use.to_string().contains("in use"), "{in_use}");
        store.close();
        for command in ["check", "defrag", "compact", "status"] {
            datastore(&[command, "--datastore", &at("store")]).await.expect(command);
        }
        datastore(&["backup", "--datastore", &at("store"), &at("backup")]).await.expect("backup");
        let again = datastore(&["backup", "--datastore", &at("store"), &at("backup")]).await;
        assert!(again.is_err(), "it overwrites nothing");
        assert!(datastore(&["restore", "--datastore", &at("store"), &at("backup")]).await.is_err());
        datastore(&["restore", "--force", "--datastore", &at("store"), &at("backup")])
            .await
            .expect("restore");
        let revision = check_embedded(&folder.join("store")).expect("check").facts.revision;
        assert_eq!(revision, Revision(BUMP + 2));
        datastore(&["migrate", "--from", &at("store"), "--to", &at("new")]).await.expect("migrate");
        let facts = check_embedded(&folder.join("new")).expect("check").facts;
        assert_eq!((facts.keys, facts.revision), (2, revision));
        assert!(datastore(&["migrate", "--from", &at("store"), "--to", &at("new")]).await.is_err());
        datastore(&["migrate", "--force", "--from", &at("store"), "--to", &at("new")]).await.expect("forced");
        assert!(datastore(&["status", "--datastore", &at("absent")]).await.is_err());
        std::fs::remove_dir_all(&folder).expect("clean up");
    }

    fn tempfile_folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("oarlock-datastore-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }
}
