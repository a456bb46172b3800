//! ResourceQuota: what a namespace may hold in all. A write is held against every quota that it concerns, and what it
//! uses is noted in their status before it is let through.
//!
//! Writes to one namespace stand in line; whoever comes first serves all who wait, so that a burst costs one write of
//! each quota. The quota's status is swapped against its resourceVersion: several servers never hand out the same room.

mod check;
mod limited;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use oarlock_api::Status;
use oarlock_quota::{Amounts, Tracked, pods};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Mutex as Turn, oneshot};

pub use limited::LimitedResource;
pub(super) use limited::limited_resources;

use self::check::{Charge, Quota, check};
use super::refuse;
use crate::resources::RESOURCE_QUOTAS;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};

/// Writes a quota's status.
#[async_trait]
pub trait QuotaUpdater: Send + Sync {
    /// Stores the status of this ResourceQuota if it is still at its `metadata.resourceVersion`, and gives it as
    /// stored; a conflict (409) where it has moved on. Goes around admission.
    async fn update_status(&self, quota: Value) -> Result<Arc<Value>, Status>;
}

/// How often a quota is read again after somebody else wrote it.
const TRIES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines that nobody stands in are forgotten beyond this.
const LINES_KEPT: usize = 1024;

pub struct ResourceQuota {
    objects: Arc<dyn Objects>,
    updater: Arc<dyn QuotaUpdater>,
    limited: Vec<LimitedResource>,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

/// The writes of one namespace.
#[derive(Default)]
struct Line {
    waiting: Mutex<Vec<Waiting>>,
    /// What was written here last, by quota: the cache may not have it yet.
    written: Turn<HashMap<String, Arc<Value>>>,
}

struct Waiting {
    charge: Arc<Charge>,
    tell: oneshot::Sender<Result<(), Refusal>>,
}

#[derive(Debug, Clone)]
enum Refusal {
    Forbidden(String),
    Failed(Status),
}

impl ResourceQuota {
    pub fn new(
        objects: Arc<dyn Objects>,
        updater: Arc<dyn QuotaUpdater>,
        limited: Vec<LimitedResource>,
    ) -> Self {
        Self { objects, updater, limited, lines: Mutex::default() }
    }

    fn line(&self, namespace: &str) -> Arc<Line> {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.get(namespace) {
            return line.clone();
        }
        if lines.len() >= LINES_KEPT {
            lines.retain(|_, line| Arc::strong_count(line) > 1);
        }
        lines.entry(namespace.to_string()).or_default().clone()
    }

    /// Stands in line until the charge was noted or refused.
    async fn admit(&self, namespace: &str, charge: &Arc<Charge>) -> Result<(), Refusal> {
        let line = self.line(namespace);
        loop {
            let (tell, mut told) = oneshot::channel();
            line.waiting.lock().push(Waiting { charge: charge.clone(), tell });
            let answer = tokio::select! {
                biased;
                answer = &mut told => answer,
                mut written = line.written.lock() => {
                    let all = std::mem::take(&mut *line.waiting.lock());
                    self.serve(namespace, &mut written, all).await;
                    drop(written);
                    told.await
                }
            };
            // Who served went away before it was done: stand in line again.
            if let Ok(answer) = answer {
                return answer;
            }
        }
    }

    /// Answers everybody who waits.
    async fn serve(
        &self,
        namespace: &str,
        written: &mut HashMap<String, Arc<Value>>,
        mut waiting: Vec<Waiting>,
    ) {
        waiting.retain(|w| !w.tell.is_closed());
        let mut quotas = self.known(namespace, written);
        for last in (0..TRIES).rev() {
            let before: Vec<Amounts> = quotas.iter().map(|quota| quota.used.clone()).collect();
            waiting = self.settle(&mut quotas, waiting);
            if waiting.is_empty() {
                return;
            }
            let failed = self.write(&quotas, &before, written).await;
            let Some((_, error)) = failed.last() else {
                return waiting.into_iter().for_each(|w| answer(w, Ok(())));
            };
            if last == 0 {
                let error = error.clone();
                return waiting.into_iter().for_each(|w| answer(w, Err(Refusal::Failed(error.clone()))));
            }
            match self.again(namespace, &failed, written).await {
                Ok(newer) => quotas = newer,
                Err(error) => {
                    return waiting.into_iter().for_each(|w| answer(w, Err(Refusal::Failed(error.clone()))));
                }
            }
        }
    }

    /// Holds each charge against the quotas as those before it leave them. Gives those that wait for the quotas to be
    /// written.
    fn settle(&self, quotas: &mut [Quota], waiting: Vec<Waiting>) -> Vec<Waiting> {
        let mut pending = Vec::new();
        for one in waiting {
            match check(quotas, &one.charge, &self.limited) {
                Err(why) => answer(one, Err(Refusal::Forbidden(why))),
                Ok(changes) if changes.is_empty() || one.charge.dry_run => answer(one, Ok(())),
                Ok(changes) => {
                    for (index, used) in changes {
                        quotas[index].used = used;
                    }
                    pending.push(one);
                }
            }
        }
        pending
    }

    /// Writes the quotas that changed; gives those that could not be.
    async fn write(
        &self,
        quotas: &[Quota],
        before: &[Amounts],
        written: &mut HashMap<String, Arc<Value>>,
    ) -> Vec<(String, Status)> {
        let mut failed = Vec::new();
        for (quota, _) in quotas.iter().zip(before).filter(|(quota, before)| quota.used != **before) {
            match self.updater.update_status(quota.to_value()).await {
                Ok(stored) => drop(written.insert(quota.name.clone(), stored)),
                Err(error) => failed.push((quota.name.clone(), error)),
            }
        }
        failed
    }

    /// The quotas of the namespace: as cached, or as written here where that is newer.
    fn known(&self, namespace: &str, written: &mut HashMap<String, Arc<Value>>) -> Vec<Quota> {
        let mut cached = self.objects.list(&RESOURCE_QUOTAS, namespace);
        cached.sort_by(|a, b| crate::value::name(a).cmp(crate::value::name(b)));
        written.retain(|name, newer| {
            cached.iter().any(|quota| crate::value::name(quota) == name && revision(quota) < revision(newer))
        });
        let newest = |quota: Arc<Value>| written.get(crate::value::name(&quota)).cloned().unwrap_or(quota);
        cached.into_iter().map(|quota| Quota::read(&newest(quota))).collect()
    }

    /// What could not be written, as it stands now; what is gone no longer counts.
    async fn again(
        &self,
        namespace: &str,
        failed: &[(String, Status)],
        written: &mut HashMap<String, Arc<Value>>,
    ) -> Result<Vec<Quota>, Status> {
        let mut quotas = Vec::new();
        for (name, _) in failed {
            written.remove(name);
            let found = self.objects.get_fresh(&RESOURCE_QUOTAS, namespace, name).await?;
            quotas.extend(found.map(|quota| Quota::read(&quota)));
        }
        Ok(quotas)
    }
}

/// A pod that was promised something: not of the class BestEffort.
pub(super) fn is_burdened(pod: &Value) -> bool {
    !pods::is_best_effort(pod)
}

/// Whether the request could change what quotas count.
fn counts(request: &AdmissionRequest<'_>) -> bool {
    let (group, resource) = (&*request.resource.group, &*request.resource.resource);
    let create = request.operation == Operation::Create;
    match (group, resource, request.subresource) {
        ("", "namespaces", _) => false,
        ("", "pods", "") => create || changes_scope(request),
        ("", "pods", "resize") => !create,
        ("", "services", "") | ("", "persistentvolumeclaims", "" | "status") => true,
        ("resource.k8s.io", "resourceclaims", "") => true,
        ("", "services" | "persistentvolumeclaims", _) | ("resource.k8s.io", "resourceclaims", _) => false,
        (_, _, "") => create && !oarlock_quota::is_ignored(&request.resource.group_resource()),
        _ => false,
    }
}

/// A pod that is given a deadline, or loses it, comes under other quotas.
fn changes_scope(request: &AdmissionRequest<'_>) -> bool {
    let pods = request.object.as_deref().zip(request.old_object);
    pods.is_some_and(|(new, old)| pods::is_terminating(new) != pods::is_terminating(old))
}

fn answer(waiting: Waiting, answer: Result<(), Refusal>) {
    // One whose client went away no longer listens.
    let _ = waiting.tell.send(answer);
}

fn revision(object: &Value) -> u64 {
    crate::value::text(object, &["metadata", "resourceVersion"]).parse().unwrap_or_default()
}

#[async_trait]
impl AdmissionPlugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate
            && !request.namespace.is_empty()
            && counts(request)
            && (!self.limited.is_empty()
                || !self.objects.list(&RESOURCE_QUOTAS, request.namespace).is_empty())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(object) = request.object.as_deref() else { return Ok(()) };
        let resource = request.resource.group_resource();
        let tracked = Tracked::of(&resource);
        if request.operation == Operation::Update && request.old_object.is_none() {
            let why = "unable to get previous usage since prior version of object was not found";
            return Err(refuse(request, why));
        }
        let now = Timestamp::now();
        let charge = Arc::new(Charge {
            tracked,
            now: tracked.measure(&resource, object).at(now),
            before: request.old_object.map(|old| tracked.measure(&resource, old).at(now)),
            missing: if tracked == Tracked::Pods { pods::missing(object) } else { BTreeMap::new() },
            resource,
            status: request.subresource == "status",
            dry_run: request.dry_run,
        });
        match tokio::time::timeout(PATIENCE, self.admit(request.namespace, &charge)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refusal::Forbidden(why))) => Err(refuse(request, why)),
            Ok(Err(Refusal::Failed(status))) => Err(status),
            Err(_) => Err(Status::internal("resource quota evaluation timed out")),
        }
    }
}

#[cfg(test)]
mod tests;
