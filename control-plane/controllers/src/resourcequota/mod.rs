//! resourcequota: tells in each quota's status what its namespace uses of it.
//!
//! Admission charges what is made; this controller counts anew when a quota changes and when something that it counts
//! goes or uses less. [`monitors`] watches what quotas count, keeping of each object its facts ([`counted`]);
//! [`plan`] sums them up.
//!
//! Where upstream counts every quota anew each five minutes, this does so once, a while after somebody else wrote the
//! quota's status: what was charged and never came to be is given back then.

mod counted;
mod monitors;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use oarlock_api::GroupResource;
use oarlock_base::Tasks;
use oarlock_client::{Change, Informers, ObjectKey, Outcome, Store, WorkQueue, is_conflict, is_not_found};
use oarlock_quota::Amounts;
use parking_lot::Mutex;
use thiserror::Error;

use crate::common::context::{BY_NAMESPACE, work};
use crate::common::{ApiError, Context, Controller, api_error, until};
use monitors::Monitors;

const WORKERS: usize = 5;

/// How long after another's write of its status a quota is counted anew: by then what was charged has come to be.
const RECOUNT_AFTER: Duration = Duration::from_secs(30);

/// Quotas come and go in numbers; what they no longer need is looked for once.
const TRIM_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("count {}: not listed yet", .0.join(", "))]
    NotListed(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Quota(ObjectKey),
    /// What is served may have changed.
    Discover,
    /// Some watches may no longer be needed.
    Trim,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(key) => write!(f, "{key}"),
            Self::Discover => f.write_str("discovery"),
            Self::Trim => f.write_str("watches"),
        }
    }
}

pub(crate) struct ResourceQuotaController {
    client: Client,
    quotas: Store<ResourceQuota>,
    /// Of what quotas count.
    informers: Informers,
    monitors: Mutex<Monitors>,
    follows_definitions: AtomicBool,
    queue: WorkQueue<Key>,
}

impl ResourceQuotaController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client("resourcequota-controller");
        let quotas = context.informers.of::<ResourceQuota>();
        quotas.add_index(BY_NAMESPACE, |quota| quota.metadata.namespace.clone().into_iter().collect());
        let controller = Arc::new(Self {
            informers: Informers::new(client.clone(), context.spawner.clone()),
            client,
            quotas: quotas.store(),
            monitors: Mutex::default(),
            follows_definitions: AtomicBool::new(false),
            queue: WorkQueue::new("resourcequota_primary"),
        });
        let handler = controller.clone();
        quotas.subscribe(move |change| handler.quota_changed(change));
        Box::new(Handle(controller))
    }

    fn quota_changed(&self, change: &Change<ResourceQuota>) {
        let key = Key::Quota(ObjectKey::of(&**change.object()));
        match change {
            Change::Added(_) => self.queue.add(key),
            Change::Updated { old, new } if old.spec == new.spec => {
                if old.status != new.status {
                    self.queue.add_after(key, RECOUNT_AFTER);
                }
            }
            Change::Updated { .. } => {
                self.queue.add(key);
                self.queue.add_after(Key::Trim, TRIM_AFTER);
            }
            Change::Deleted(_) => self.queue.add_after(Key::Trim, TRIM_AFTER),
        }
    }

    /// Something of that resource went, or uses less.
    fn replenish(&self, resource: &GroupResource, namespace: &str) {
        for quota in self.quotas.by_index(BY_NAMESPACE, namespace) {
            if plan::is_about(&quota, resource) {
                self.queue.add(Key::Quota(ObjectKey::of(&*quota)));
            }
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Result<Outcome, Error> {
        match key {
            Key::Quota(key) => match self.quotas.get_key(&key) {
                Some(quota) => self.count_anew(&quota).await,
                None => Ok(Outcome::Done),
            },
            Key::Discover => {
                let complete = self.discover().await.map_err(api_error("ask what is served"))?;
                self.recount_discovered();
                Ok(if complete { Outcome::Done } else { Outcome::Requeue })
            }
            Key::Trim => {
                self.trim();
                Ok(Outcome::Done)
            }
        }
    }

    /// What was not served may be now, and the other way round.
    fn recount_discovered(&self) {
        for quota in self.quotas.list() {
            if plan::resources(&quota).keys().any(|resource| !plan::is_well_known(resource)) {
                self.queue.add(Key::Quota(ObjectKey::of(&*quota)));
            }
        }
    }

    async fn count_anew(self: &Arc<Self>, quota: &ResourceQuota) -> Result<Outcome, Error> {
        let namespace = quota.metadata.namespace.as_deref().unwrap_or_default();
        let (scopes, now) = (plan::scopes(quota), Timestamp::now());
        let (mut counted, mut next, mut missing) = (Amounts::new(), None::<Timestamp>, Vec::new());
        for (resource, names) in plan::resources(quota) {
            let found = self.count(&resource, namespace, &names, &scopes, now).await;
            match found.map_err(api_error("ask what is served"))? {
                Some((amounts, change)) => {
                    counted.extend(amounts);
                    next = next.into_iter().chain(change).min();
                }
                None if self.is_served(&resource) => missing.push(resource.to_string()),
                None => {}
            }
        }
        if let Some(status) = plan::status(quota, counted)
            && !self.write(quota, status).await?
        {
            return Ok(Outcome::Requeue);
        }
        match next {
            _ if !missing.is_empty() => Err(Error::NotListed(missing)),
            Some(at) => Ok(Outcome::RequeueAfter(until(at, now) + Duration::from_secs(1))),
            None => Ok(Outcome::Done),
        }
    }

    /// Says whether the quota was as it was read.
    async fn write(&self, quota: &ResourceQuota, status: ResourceQuotaStatus) -> Result<bool, Error> {
        let mut new = quota.clone();
        new.status = Some(status);
        let namespace = quota.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), namespace);
        let name = quota.metadata.name.as_deref().unwrap_or_default();
        match api.replace_status(name, &PostParams::default(), &new).await {
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) if is_not_found(&error) => Ok(true),
            written => Ok(written.map(|_| true).map_err(api_error("write the status of a quota"))?),
        }
    }
}

struct Handle(Arc<ResourceQuotaController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, ResourceQuotaController::sync);
    }
}
