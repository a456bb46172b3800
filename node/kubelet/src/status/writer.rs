//! Writes statuses: one write per change, in order, the newest only when several come while one is under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use oarlock_base::{Backoff, TaskSpawner};
use oarlock_client::is_not_found;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::pod::{PodExt as _, PodUid};

const RETRY: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(5)).with_jitter(0.2);

struct Entry {
    namespace: String,
    name: String,
    /// The uid of the API's object: that of the mirror pod where the pod is static.
    api_uid: Option<String>,
    latest: Arc<PodStatus>,
    version: u64,
    written: u64,
    writing: bool,
    /// The addresses that the API last heard, which must be taken away when others come.
    written_ips: Vec<String>,
}

struct Inner {
    client: kube::Client,
    spawner: TaskSpawner,
    entries: Mutex<HashMap<PodUid, Entry>>,
    settled: Notify,
}

/// The statuses of this node's pods.
#[derive(Clone)]
pub(crate) struct StatusWriter(Arc<Inner>);

impl StatusWriter {
    pub(crate) fn new(client: kube::Client, spawner: TaskSpawner) -> Self {
        Self(Arc::new(Inner { client, spawner, entries: Mutex::default(), settled: Notify::new() }))
    }

    /// The status published last; before any, the one that the API has.
    pub(crate) fn latest(&self, pod: &Pod) -> Option<Arc<PodStatus>> {
        let published = self.0.entries.lock().get(&pod.uid()).map(|entry| entry.latest.clone());
        published.or_else(|| pod.status().filter(|status| status.start_time.is_some()).cloned().map(Arc::new))
    }

    /// Publishes a status. Says whether it differs from the one before; if not, nothing is written.
    pub(crate) fn publish(&self, pod: &Pod, status: PodStatus) -> bool {
        let uid = pod.uid();
        let mut entries = self.0.entries.lock();
        if let Some(entry) = entries.get(&uid) {
            if *entry.latest == status {
                return false;
            }
        } else if !pod.is_static() && pod.status().is_some_and(|known| same(known, &status)) {
            // After a restart of the agent, what the API has may already be the truth.
            entries.insert(uid, new_entry(pod, status, 1, 1));
            return false;
        }
        let entry = entries.entry(uid.clone()).or_insert_with(|| new_entry(pod, status.clone(), 0, 0));
        debug!(pod = %pod.display(), phase = status.phase, "status");
        entry.latest = Arc::new(status);
        entry.version += 1;
        self.kick(uid, entry);
        true
    }

    /// Writes again what somebody else has overwritten: the node's controller calls pods unready while the node is silent.
    pub(crate) fn correct(&self, old: &Pod, new: &Pod) {
        let ready = |status: Option<&PodStatus>| {
            let conditions = status?.conditions.as_ref()?;
            Some(conditions.iter().find(|condition| condition.type_ == "Ready")?.status.clone())
        };
        let mut entries = self.0.entries.lock();
        let Some(entry) = entries.get_mut(&new.uid()) else { return };
        let ours = ready(Some(&entry.latest));
        if ready(old.status()) == ours && ready(new.status()) != ours {
            entry.version += 1;
            self.kick(new.uid(), entry);
        }
    }

    /// Tells by which uid the API knows a static pod.
    pub(crate) fn set_mirror(&self, uid: &PodUid, mirror_uid: &str) {
        if let Some(entry) = self.0.entries.lock().get_mut(uid)
            && entry.api_uid.as_deref() != Some(mirror_uid)
        {
            entry.api_uid = Some(mirror_uid.to_owned());
            entry.written = 0;
            self.kick(uid.clone(), entry);
        }
    }

    /// Returns when the newest status of this pod is in the API (or the pod is not).
    pub(crate) async fn settled(&self, uid: &PodUid) {
        loop {
            let told = self.0.settled.notified();
            tokio::pin!(told);
            // Registered before the look, so that no change between the two is missed.
            told.as_mut().enable();
            let done =
                self.0.entries.lock().get(uid).is_none_or(|e| e.written == e.version || e.api_uid.is_none());
            if done {
                return;
            }
            told.await;
        }
    }

    pub(crate) fn forget(&self, uid: &PodUid) {
        self.0.entries.lock().remove(uid);
    }

    fn kick(&self, uid: PodUid, entry: &mut Entry) {
        if entry.writing || entry.api_uid.is_none() || entry.written == entry.version {
            return;
        }
        entry.writing = true;
        let writer = self.clone();
        let stop = self.0.spawner.shutdown().clone();
        self.0.spawner.spawn("pod status", async move {
            stop.or(writer.write_until_settled(uid)).await;
        });
    }

    async fn write_until_settled(&self, uid: PodUid) {
        let mut retry = RETRY.start();
        while let Some((version, api, name, patch, ips)) = self.next_write(&uid) {
            let params = PatchParams::default();
            let result = api.patch_status(&name, &params, &Patch::Strategic(patch)).await;
            match result {
                Ok(_) => {
                    retry.reset();
                    self.wrote(&uid, version, ips);
                }
                Err(error) if is_not_found(&error) || oarlock_client::is_conflict(&error) => {
                    // The pod is gone, or another one bears its name.
                    debug!(pod = %uid, %error, "status dropped");
                    self.wrote(&uid, version, ips);
                }
                Err(error @ kube::Error::Api(_)) if retry.attempts() > 5 => {
                    warn!(pod = %uid, %error, "status refused");
                    self.wrote(&uid, version, ips);
                }
                Err(error) => {
                    debug!(pod = %uid, %error, "status not written yet");
                    tokio::time::sleep(retry.next_delay()).await;
                }
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "one caller, which takes it apart at once")]
    fn next_write(&self, uid: &PodUid) -> Option<(u64, Api<Pod>, String, Value, Vec<String>)> {
        let mut entries = self.0.entries.lock();
        let entry = entries.get_mut(uid)?;
        if entry.written == entry.version {
            entry.writing = false;
            return None;
        }
        let api = Api::namespaced(self.0.client.clone(), &entry.namespace);
        let patch = patch(entry);
        Some((entry.version, api, entry.name.clone(), patch, ips_of(&entry.latest)))
    }

    fn wrote(&self, uid: &PodUid, version: u64, ips: Vec<String>) {
        if let Some(entry) = self.0.entries.lock().get_mut(uid) {
            entry.written = version;
            entry.written_ips = ips;
        }
        self.0.settled.notify_waiters();
    }
}

fn new_entry(pod: &Pod, status: PodStatus, version: u64, written: u64) -> Entry {
    Entry {
        namespace: pod.namespace().to_owned(),
        name: pod.name().to_owned(),
        api_uid: (!pod.is_static()).then(|| pod.uid_str().to_owned()),
        written_ips: pod.status().map(ips_of).unwrap_or_default(),
        latest: Arc::new(status),
        version,
        written,
        writing: false,
    }
}

fn ips_of(status: &PodStatus) -> Vec<String> {
    status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect()
}

/// Whether the API's status holds all that ours says.
fn same(known: &PodStatus, ours: &PodStatus) -> bool {
    let has = |wanted: &k8s_openapi::api::core::v1::PodCondition| {
        known.conditions.iter().flatten().any(|c| c == wanted)
    };
    known.phase == ours.phase
        && known.container_statuses == ours.container_statuses
        && known.init_container_statuses == ours.init_container_statuses
        && known.ephemeral_container_statuses == ours.ephemeral_container_statuses
        && known.pod_ips == ours.pod_ips
        && known.start_time == ours.start_time
        && known.observed_generation == ours.observed_generation
        && ours.conditions.iter().flatten().all(has)
}

/// A strategic merge patch that names only what the kubelet owns; the uid guards against another pod of the same name.
fn patch(entry: &Entry) -> Value {
    let mut status = serde_json::to_value(&*entry.latest).expect("a status is plain data");
    if !entry.written_ips.is_empty() && entry.written_ips != ips_of(&entry.latest) {
        let mut ips = vec![json!({ "$patch": "replace" })];
        ips.extend(entry.latest.pod_ips.iter().flatten().map(|ip| json!({ "ip": ip.ip })));
        status["podIPs"] = Value::Array(ips);
    }
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        for field in ["reason", "message"] {
            if condition.get(field).is_none() {
                condition[field] = Value::Null;
            }
        }
    }
    json!({ "metadata": { "uid": entry.api_uid }, "status": status })
}
