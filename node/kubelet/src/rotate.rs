//! Log rotation: a log above 10 MiB is put aside and the runtime told to open a new one; five files are kept in all.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oarlock_base::Shutdown;
use oarlock_cri::v1::{
    ContainerFilter, ContainerState, ContainerStateValue, ContainerStatusRequest, ListContainersRequest,
    ReopenContainerLogRequest,
};
use tracing::{debug, info, warn};

use crate::manager::Manager;

const SIZE_MAX: u64 = 10 << 20;
const FILES_MAX: usize = 5;
/// Upstream's `containerLogMonitorInterval`.
const PERIOD: Duration = Duration::from_secs(10);

pub(crate) async fn rotate_logs(manager: Manager, stop: Shutdown) -> Result<(), Infallible> {
    while stop.or(tokio::time::sleep(PERIOD)).await.is_some() {
        let dir = manager.context().config.pod_logs_dir.clone();
        let large = tokio::task::spawn_blocking(move || large_logs(&dir)).await.unwrap_or_default();
        if !large.is_empty() && stop.or(rotate(&manager, &large)).await.is_none() {
            break;
        }
    }
    Ok(())
}

/// The logs in use that are too large: `POD/CONTAINER/N.log`.
fn large_logs(root: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files =
        entries(root).flat_map(|pod| entries(&pod.path())).flat_map(|container| entries(&container.path()));
    files
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "log"))
        .filter(|file| file.metadata().is_ok_and(|metadata| metadata.len() > SIZE_MAX))
        .map(|file| file.path())
        .collect()
}

async fn rotate(manager: &Manager, large: &[PathBuf]) {
    let cri = &manager.context().cri;
    let running = Some(ContainerStateValue { state: ContainerState::ContainerRunning.into() });
    let filter = Some(ContainerFilter { state: running, ..Default::default() });
    let Ok(listed) = cri.list_containers(ListContainersRequest { filter }).await else { return };
    for container in listed.containers {
        let request = ContainerStatusRequest { container_id: container.id.clone(), verbose: false };
        let Ok(response) = cri.container_status(request).await else { continue };
        let path = PathBuf::from(response.status.unwrap_or_default().log_path);
        if !large.contains(&path) {
            continue;
        }
        if let Err(error) = put_aside(&path) {
            warn!(path = %path.display(), %error, "log not rotated");
            continue;
        }
        let reopen = ReopenContainerLogRequest { container_id: container.id.clone() };
        match cri.reopen_container_log(reopen).await {
            Ok(_) => info!(path = %path.display(), "log rotated"),
            Err(error) => warn!(path = %path.display(), %error, "the runtime keeps the old log"),
        }
    }
}

/// Renames the log to one with its time, and removes the oldest of those beyond the number to keep.
fn put_aside(path: &Path) -> std::io::Result<()> {
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    std::fs::rename(path, path.with_file_name(format!("{name}.{time}")))?;
    let dir = path.parent().unwrap_or(path);
    let mut old: Vec<PathBuf> = std::fs::read_dir(dir)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|other| {
            other.file_name().is_some_and(|other| other.to_string_lossy().starts_with(&format!("{name}.")))
        })
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(FILES_MAX - 1);
    for path in &old[..surplus] {
        debug!(path = %path.display(), "old log removed");
        std::fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_logs_are_kept_up_to_a_number() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("0.log");
        for i in 0..6 {
            std::fs::write(dir.path().join(format!("0.log.2026010{i}-000000")), "").expect("an old log");
        }
        std::fs::write(&log, "x").expect("a log");
        put_aside(&log).expect("rotated");
        assert!(!log.exists());
        assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), FILES_MAX - 1);
    }
}
