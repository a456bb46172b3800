//! Which pods this node has: takes them from the API and from manifests, admits them, and keeps a worker for each. Also finds
//! what an earlier agent left: containers of known pods are taken over by their worker, the rest is cleared away.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use oarlock_client::{Change, EventType};
use oarlock_cri::CallError;
use oarlock_cri::v1::{ListPodSandboxRequest, PodSandbox};
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::admission;
use crate::context::Context;
use crate::observed::{LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID};
use crate::pod::{PodExt as _, PodUid};
use crate::status::Verdict;
use crate::worker::{Handle, Input, Worker};

struct Inner {
    ctx: Arc<Context>,
    workers: Mutex<HashMap<PodUid, Handle>>,
    /// The uids of mirror pods, by namespace and name.
    mirrors: Mutex<HashMap<(String, String), String>>,
}

/// A handle on the node's pods; clones are the same.
#[derive(Clone)]
pub(crate) struct Manager(Arc<Inner>);

impl Manager {
    pub(crate) fn new(ctx: Arc<Context>) -> Self {
        Self(Arc::new(Inner { ctx, workers: Mutex::default(), mirrors: Mutex::default() }))
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.0.ctx
    }

    pub(crate) fn wake(&self, uid: &PodUid) {
        if let Some(handle) = self.0.workers.lock().get(uid) {
            handle.wake.notify_one();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.0.workers.lock().values().for_each(|handle| handle.wake.notify_one());
    }

    /// The pods that have a worker.
    pub(crate) fn pods(&self) -> Vec<Arc<Pod>> {
        self.0.workers.lock().values().map(|handle| handle.input.borrow().pod.clone()).collect()
    }

    /// The pod of this name; with several of one name, the one that is not being deleted.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let mut found: Vec<_> = self
            .pods()
            .into_iter()
            .filter(|pod| pod.namespace() == namespace && pod.name() == name)
            .collect();
        found.sort_by_key(|pod| pod.deletion().is_some());
        found.into_iter().next()
    }

    /// Takes in a change that the API's watch told of.
    pub(crate) fn api_change(&self, change: &Change<Pod>) {
        let pod = change.object();
        if pod.spec.is_none() {
            return;
        }
        if pod.is_mirror() {
            return self.mirror_change(change);
        }
        match change {
            Change::Deleted(pod) => self.gone(pod),
            Change::Added(pod) | Change::Updated { new: pod, .. } => self.upsert(pod.clone()),
        }
    }

    /// A mirror pod is not run; it is where a static pod's status goes.
    fn mirror_change(&self, change: &Change<Pod>) {
        let pod = change.object();
        let name = (pod.namespace().to_owned(), pod.name().to_owned());
        let mut mirrors = self.0.mirrors.lock();
        if matches!(change, Change::Deleted(_)) {
            mirrors.remove(&name);
            return;
        }
        mirrors.insert(name, pod.uid_str().to_owned());
        drop(mirrors);
        if let Some(own) = self.find(pod.namespace(), pod.name()).filter(|own| own.is_static()) {
            self.0.ctx.status.set_mirror(&own.uid(), pod.uid_str());
            self.wake(&own.uid());
        }
    }

    /// The uid of the mirror pod of a static pod, once the API has one.
    pub(crate) fn mirror_of(&self, pod: &Pod) -> Option<String> {
        self.0.mirrors.lock().get(&(pod.namespace().to_owned(), pod.name().to_owned())).cloned()
    }

    /// A pod is new or has changed.
    pub(crate) fn upsert(&self, pod: Arc<Pod>) {
        let uid = pod.uid();
        let mut workers = self.0.workers.lock();
        if let Some(handle) = workers.get(&uid) {
            handle.input.send_if_modified(|input| {
                self.0.ctx.status.correct(&input.pod, &pod);
                let news = is_news(&input.pod, &pod);
                input.pod = pod.clone();
                news
            });
            return;
        }
        let refused = self.admit(&pod, &workers);
        info!(pod = %pod.display(), refused = refused.as_ref().map(|v| v.reason.as_str()), "pod assigned");
        let handle = Handle::new(Input { pod, gone: false, refused });
        workers.insert(uid.clone(), handle.clone());
        drop(workers);
        self.start(uid, &handle);
    }

    fn start(&self, uid: PodUid, handle: &Handle) {
        let worker = Worker::new(self.0.ctx.clone(), uid.clone(), handle);
        let stop = self.0.ctx.spawner.shutdown().clone();
        let manager = self.clone();
        self.0.ctx.spawner.spawn("pod", async move {
            worker.run(stop).await;
            manager.0.workers.lock().remove(&uid);
            manager.0.ctx.objects.forget(&uid);
        });
    }

    fn admit(&self, pod: &Pod, workers: &HashMap<PodUid, Handle>) -> Option<Verdict> {
        if pod.is_terminal() || pod.deletion().is_some() {
            return None;
        }
        let others: Vec<Arc<Pod>> = workers
            .values()
            .map(|handle| handle.input.borrow().clone())
            // What is gone from its source has no room in the scheduler's books either.
            .filter(|input| input.refused.is_none() && !input.gone && !self.is_over(&input.pod))
            .map(|input| input.pod)
            .collect();
        let verdict = admission::admit(pod, &others, &self.0.ctx.node.borrow())?;
        self.0.ctx.pod_event(pod, EventType::Warning, &verdict.reason, &verdict.message);
        Some(verdict)
    }

    /// Whether a pod uses nothing any more.
    fn is_over(&self, pod: &Pod) -> bool {
        let latest = self.0.ctx.status.latest(pod);
        pod.is_terminal()
            || latest.is_some_and(|status| matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")))
    }

    /// A pod is gone from its source.
    pub(crate) fn gone(&self, pod: &Pod) {
        if let Some(handle) = self.0.workers.lock().get(&pod.uid()) {
            handle.input.send_modify(|input| input.gone = true);
        }
    }

    /// Clears away what belongs to no pod that there is. To be called when all sources have been read once.
    pub(crate) async fn clear_orphans(&self) {
        let ctx = &self.0.ctx;
        match self.orphan_sandboxes().await {
            Ok(orphans) => {
                for sandbox in orphans {
                    let pod = pod_of(&sandbox);
                    info!(pod = %pod.display(), "clearing away a pod that is gone");
                    self.adopt_orphan(pod);
                }
            }
            Err(error) => warn!(%error, "orphans stay for now"),
        }
        for uid in ctx.volumes.pods_on_disk().await {
            if !self.0.workers.lock().contains_key(&uid) {
                ctx.volumes.remove_pod_dir(&uid).await;
            }
        }
    }

    async fn orphan_sandboxes(&self) -> Result<Vec<PodSandbox>, CallError> {
        let all = self.0.ctx.cri.list_pod_sandbox(ListPodSandboxRequest::default()).await?.items;
        let workers = self.0.workers.lock();
        let unknown = |sandbox: &PodSandbox| {
            let uid = sandbox.labels.get(LABEL_POD_UID);
            uid.is_some_and(|uid| !workers.contains_key(&PodUid::new(uid)))
        };
        Ok(all.into_iter().filter(unknown).collect())
    }

    /// A worker for a pod that nobody wants: it ends what runs and removes it.
    fn adopt_orphan(&self, pod: Pod) {
        let uid = pod.uid();
        let mut workers = self.0.workers.lock();
        if workers.contains_key(&uid) {
            return;
        }
        let handle = Handle::new(Input { pod: Arc::new(pod), gone: true, refused: None });
        workers.insert(uid.clone(), handle.clone());
        drop(workers);
        self.start(uid, &handle);
    }
}

/// Whether the worker must look: a status that the kubelet itself wrote is no news.
fn is_news(old: &Pod, new: &Pod) -> bool {
    let (a, b) = (&old.metadata, &new.metadata);
    let gates = |pod: &Pod| {
        let gates = pod.spec().readiness_gates.iter().flatten();
        gates.map(|gate| pod.condition(&gate.condition_type).map(|c| c.status.clone())).collect::<Vec<_>>()
    };
    old.spec != new.spec
        || a.generation != b.generation
        || a.labels != b.labels
        || a.annotations != b.annotations
        || a.deletion_timestamp != b.deletion_timestamp
        || a.deletion_grace_period_seconds != b.deletion_grace_period_seconds
        || gates(old) != gates(new)
}

/// As much of a pod as its sandbox tells.
fn pod_of(sandbox: &PodSandbox) -> Pod {
    let label = |key: &str| sandbox.labels.get(key).cloned();
    let mut pod = Pod::default();
    pod.metadata.name = label(LABEL_POD_NAME);
    pod.metadata.namespace = label(LABEL_POD_NAMESPACE);
    pod.metadata.uid = label(LABEL_POD_UID);
    // Nobody waits for it: the shortest grace that is one.
    pod.metadata.deletion_grace_period_seconds = Some(1);
    pod.spec = Some(k8s_openapi::api::core::v1::PodSpec::default());
    pod
}
