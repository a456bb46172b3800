//! What pods and containers use.

use std::collections::BTreeMap;

use oarlock_cri::v1;

use super::record::{Container, Pod};
use super::{Runtime, RuntimeError, convert};
use crate::cgroup::{Cgroup, Usage};
use crate::disk;

fn number(value: u64) -> Option<v1::UInt64Value> {
    Some(v1::UInt64Value { value })
}

fn cpu(usage: &Usage, timestamp: i64) -> v1::CpuUsage {
    v1::CpuUsage { timestamp, usage_core_nano_seconds: number(usage.cpu_ns), ..v1::CpuUsage::default() }
}

fn memory(usage: &Usage, timestamp: i64) -> v1::MemoryUsage {
    let available = usage.memory_limit_bytes.map(|limit| limit.saturating_sub(usage.working_set_bytes));
    v1::MemoryUsage {
        timestamp,
        working_set_bytes: number(usage.working_set_bytes),
        available_bytes: available.and_then(number),
        usage_bytes: number(usage.memory_bytes),
        rss_bytes: number(usage.rss_bytes),
        page_faults: number(usage.page_faults),
        major_page_faults: number(usage.major_page_faults),
        ..v1::MemoryUsage::default()
    }
}

impl Runtime {
    pub(super) fn container_stats(&self, container: &Container) -> v1::ContainerStats {
        let config = container.config();
        let timestamp = disk::now_ns();
        let usage = container.is_running().then(|| Cgroup::new(&container.record.cgroup).usage()).flatten();
        let (used, inodes) = disk::usage(&container.directory.join("upper"));
        let layer = v1::FilesystemUsage {
            timestamp,
            fs_id: Some(v1::FilesystemIdentifier { mountpoint: self.filesystem() }),
            used_bytes: number(used),
            inodes_used: number(inodes),
        };
        v1::ContainerStats {
            attributes: Some(v1::ContainerAttributes {
                id: container.record.id.clone(),
                metadata: config.metadata.clone(),
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
            }),
            cpu: usage.as_ref().map(|usage| cpu(usage, timestamp)),
            memory: usage.as_ref().map(|usage| memory(usage, timestamp)),
            writable_layer: Some(layer),
            ..v1::ContainerStats::default()
        }
    }

    pub(super) fn pod_stats(&self, pod: &Pod) -> v1::PodSandboxStats {
        let config = pod.config();
        let timestamp = disk::now_ns();
        let containers = self.containers_of(&pod.record.id);
        let containers: Vec<_> =
            containers.iter().filter(|c| c.is_running()).map(|c| self.container_stats(c)).collect();
        let usage = Cgroup::new(&self.cgroup_of(pod, "")).usage().unwrap_or_default();
        let process = v1::ProcessUsage { timestamp, process_count: number(usage.pids) };
        let linux = v1::LinuxPodSandboxStats {
            cpu: Some(cpu(&usage, timestamp)),
            memory: Some(memory(&usage, timestamp)),
            network: network(pod, timestamp),
            process: Some(process),
            containers,
            ..v1::LinuxPodSandboxStats::default()
        };
        v1::PodSandboxStats {
            attributes: Some(v1::PodSandboxAttributes {
                id: pod.record.id.clone(),
                metadata: config.metadata.clone(),
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
            }),
            linux: Some(linux),
            windows: None,
        }
    }

    pub(super) fn list_container_stats(
        &self,
        filter: Option<v1::ContainerStatsFilter>,
    ) -> Vec<v1::ContainerStats> {
        let filter = filter.unwrap_or_default();
        let wanted = |container: &Container| {
            (filter.id.is_empty() || container.record.id.starts_with(&filter.id))
                && (filter.pod_sandbox_id.is_empty()
                    || container.record.pod.starts_with(&filter.pod_sandbox_id))
                && convert::selects(&filter.label_selector, &container.config().labels)
        };
        let containers = self.containers();
        containers.iter().filter(|c| c.is_running() && wanted(c)).map(|c| self.container_stats(c)).collect()
    }

    pub(super) fn list_pod_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> Vec<v1::PodSandboxStats> {
        let filter = filter.unwrap_or_default();
        let wanted = |pod: &Pod| {
            pod.status().ready
                && (filter.id.is_empty() || pod.record.id.starts_with(&filter.id))
                && convert::selects(&filter.label_selector, &pod.config().labels)
        };
        self.pods().iter().filter(|pod| wanted(pod)).map(|pod| self.pod_stats(pod)).collect()
    }

    /// Where images and containers lie; both are on one file system.
    pub(super) fn filesystem(&self) -> String {
        self.images.root().to_string_lossy().into_owned()
    }

    pub(super) fn image_fs(&self) -> v1::ImageFsInfoResponse {
        let usage = |directory: &str| {
            let (used, inodes) = disk::usage(&self.config.root_dir.join(directory));
            v1::FilesystemUsage {
                timestamp: disk::now_ns(),
                fs_id: Some(v1::FilesystemIdentifier { mountpoint: self.filesystem() }),
                used_bytes: number(used),
                inodes_used: number(inodes),
            }
        };
        v1::ImageFsInfoResponse {
            image_filesystems: vec![usage("images")],
            container_filesystems: vec![usage("containers")],
        }
    }

    /// Facts beside the status, for `crictl inspect`.
    pub(super) fn container_info(
        &self,
        container: &Container,
    ) -> Result<BTreeMap<String, String>, RuntimeError> {
        let spec = std::fs::read_to_string(container.directory.join("config.json"))
            .map_err(RuntimeError::io("read the container's specification"))?;
        let spec: serde_json::Value = serde_json::from_str(&spec).unwrap_or_default();
        let info = serde_json::json!({
            "sandboxID": container.record.pod, "pid": container.status().pid, "runtimeSpec": spec,
            "snapshotter": "overlayfs", "runtimeType": "oarlock",
        });
        Ok(BTreeMap::from([("info".to_string(), info.to_string())]))
    }
}

/// Counters of the pod's interfaces, as its shim sees them from inside.
fn network(pod: &Pod, timestamp: i64) -> Option<v1::NetworkUsage> {
    pod.record.netns.as_ref()?;
    let table = std::fs::read_to_string(format!("/proc/{}/net/dev", pod.status().shim_pid)).ok()?;
    let (mut default, mut others) = (None, Vec::new());
    for interface in table.lines().filter_map(interface) {
        match interface.name.as_str() {
            "lo" => {}
            "eth0" => default = Some(interface),
            _ => others.push(interface),
        }
    }
    Some(v1::NetworkUsage { timestamp, default_interface: default, interfaces: others })
}

fn interface(line: &str) -> Option<v1::NetworkInterfaceUsage> {
    let (name, counters) = line.split_once(':')?;
    let counters: Vec<u64> = counters.split_whitespace().filter_map(|text| text.parse().ok()).collect();
    let counter = |at: usize| counters.get(at).copied().and_then(number);
    Some(v1::NetworkInterfaceUsage {
        name: name.trim().to_string(),
        rx_bytes: counter(0),
        rx_errors: counter(2),
        tx_bytes: counter(8),
        tx_errors: counter(10),
    })
}
