//! After a start: finds again what an earlier agent, or an earlier boot, has left.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use super::Runtime;
use super::record::{Container, Phase, Pod};
use crate::disk;

impl Runtime {
    /// Reads all records, and takes up the shims that still run. What ran without one has ended.
    pub(crate) async fn recover(self: &Arc<Self>) {
        for directory in children(&self.config.root_dir.join("containers")) {
            match Container::load(&directory) {
                Ok(Some(container)) => self.take_container(container),
                outcome => discard(&directory, outcome.err()),
            }
        }
        let mut pods = Vec::new();
        for directory in children(&self.config.root_dir.join("sandboxes")) {
            match Pod::load(&directory, |id| self.shim_dir(id)) {
                Ok(Some(pod)) => pods.push(self.take_pod(pod)),
                outcome => discard(&directory, outcome.err()),
            }
        }
        for pod in pods {
            self.take_up(&pod).await;
        }
        self.drop_strays();
    }

    fn take_container(&self, container: Container) {
        let mut state = self.state.lock();
        state.containers.insert(container.record.id.clone(), Arc::new(container));
    }

    fn take_pod(&self, pod: Pod) -> Arc<Pod> {
        let pod = Arc::new(pod);
        let mut state = self.state.lock();
        let name = Pod::name(pod.config());
        state.names.insert(name, pod.record.id.clone());
        let names: Vec<(String, String)> = state
            .containers
            .values()
            .filter(|container| container.record.pod == pod.record.id)
            .map(|container| (Container::name(container.config(), pod.config()), container.record.id.clone()))
            .collect();
        state.names.extend(names);
        state.pods.insert(pod.record.id.clone(), pod.clone());
        pod
    }

    async fn take_up(self: &Arc<Self>, pod: &Arc<Pod>) {
        let id = &pod.record.id;
        let was_ready = pod.status().ready && pod.record.boot == self.boot;
        let found = was_ready && self.follow(pod).await.is_ok();
        if found {
            info!(pod = id, "pod found again");
        } else if pod.status().ready {
            info!(pod = id, "pod has ended while no runtime was running");
        }
        if !found {
            // Also what a killed agent left half made, or half undone.
            self.tear_down(pod).await;
        }
        let shim = pod.status().shim_pid;
        for container in self.containers_of(id) {
            let seen = disk::read_json(&container.exit_file()).ok().flatten();
            match (container.status().phase, seen) {
                (Phase::Running, Some(exit)) => drop(container.ended(&exit)),
                // The shim did not name it as running, or there is no shim.
                (Phase::Running, None) if !found || !is_child_of(container.status().pid, shim) => {
                    self.abandon(&container);
                }
                _ => {}
            }
        }
    }

    /// Containers without a pod cannot be reached by anybody: they are removed.
    fn drop_strays(&self) {
        let strays: Vec<Arc<Container>> = {
            let mut state = self.state.lock();
            let ids: Vec<String> = state
                .containers
                .values()
                .filter(|container| !state.pods.contains_key(&container.record.pod))
                .map(|container| container.record.id.clone())
                .collect();
            ids.iter().filter_map(|id| state.containers.remove(id)).collect()
        };
        for stray in strays {
            self.abandon(&stray);
            discard(&stray.directory, None);
        }
    }
}

fn is_child_of(pid: i32, parent: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the parent is the second field after it.
    let after = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    after.split_whitespace().nth(1).and_then(|ppid| ppid.parse().ok()) == Some(parent)
}

fn children(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn discard(directory: &Path, fault: Option<std::io::Error>) {
    if let Some(fault) = fault {
        warn!(directory = %directory.display(), error = %fault, "unreadable record; removed");
    }
    if let Err(error) = disk::remove_all(directory) {
        warn!(directory = %directory.display(), %error, "not removed");
    }
}
