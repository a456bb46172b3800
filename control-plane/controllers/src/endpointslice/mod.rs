//! endpointslice: lists the pods behind each service, in slices of at most a hundred.
//!
//! [`endpoints`] says what is to be listed, [`plan`] how to spread it over slices with the fewest writes; both pure.

mod endpoints;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{
    Change, EventRecorder, EventType, Expectations, Informer, ObjectKey, Outcome, Selection, Store,
    WorkQueue, is_conflict, is_namespace_terminating, is_not_found, object_ref,
};

use crate::common::addresses::{endpoint_changed, selector, selects};
use crate::common::context::{BY_NAMESPACE, work};
use crate::common::{Context, Controller, error_text};
use crate::replicaset::EXPECTATIONS_LAST;
use plan::Plan;

const WORKERS: usize = 5;
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const BY_SERVICE: &str = "service";

pub(crate) struct EndpointSliceController {
    client: Client,
    events: EventRecorder,
    services: Store<Service>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    slices: Store<EndpointSlice>,
    queue: WorkQueue<ObjectKey>,
    /// Slices that were made and are not in the cache yet: without this they would be made twice.
    expectations: Expectations,
}

impl EndpointSliceController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client("endpointslice-controller");
        let (services, pods) = (services(context), context.pods());
        let ours = Selection::all().labels(&format!("{MANAGED_BY}={MANAGER}"));
        let slices = context.informers.select::<EndpointSlice>(ours);
        slices.add_index(BY_SERVICE, |slice| {
            service_of(slice).map(|key| key.to_string()).into_iter().collect()
        });
        let controller = Arc::new(Self {
            events: context.recorder(&client, "endpoint-slice-controller"),
            client,
            services: services.store(),
            pods: pods.store(),
            nodes: context.nodes().store(),
            slices: slices.store(),
            queue: WorkQueue::new("endpoint_slice"),
            expectations: Expectations::new(),
        });
        let handler = controller.clone();
        services.subscribe(move |change| handler.queue.add(ObjectKey::of(&**change.object())));
        let handler = controller.clone();
        pods.subscribe(move |change| {
            services_of_pod(change, &handler.services, |service| handler.queue.add(service));
        });
        let handler = controller.clone();
        slices.subscribe(move |change| handler.slice_changed(change));
        Box::new(Handle(controller))
    }

    fn slice_changed(&self, change: &Change<EndpointSlice>) {
        let Some(key) = service_of(change.object()) else { return };
        if let Change::Added(_) = change {
            self.expectations.creation_observed(&key.to_string());
        }
        self.queue.add(key);
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(service) = self.services.get_key(&key) else {
            // The garbage collector takes the slices.
            self.expectations.forget(&key.to_string());
            return Ok(Outcome::Done);
        };
        let Some(selector) = selector(&service).filter(|_| service.metadata.deletion_timestamp.is_none())
        else {
            return Ok(Outcome::Done);
        };
        if !self.expectations.satisfied(&key.to_string()) {
            return Ok(Outcome::RequeueAfter(EXPECTATIONS_LAST));
        }
        let pods = self.pods.by_index(BY_NAMESPACE, &key.namespace);
        let pods: Vec<_> = pods.into_iter().filter(|pod| selects(selector, pod)).collect();
        let zone = |node: &str| self.zone_of(node);
        let wanted = endpoints::wanted(&service, &pods, &zone);
        let existing = self.slices.by_index(BY_SERVICE, &key.to_string());
        let plan = plan::plan(&service, wanted, &existing);
        match self.carry_out(&key, plan).await {
            Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(Outcome::Requeue),
            Err(error) if is_namespace_terminating(&error) => Ok(Outcome::Done),
            Err(error) => {
                let name = &key.name;
                let message = format!(
                    "Error updating Endpoint Slices for Service {}/{name}: {}",
                    key.namespace,
                    error_text(&error)
                );
                self.events.event(
                    &object_ref(&*service),
                    EventType::Warning,
                    "FailedToUpdateEndpointSlices",
                    message,
                );
                Err(error)
            }
            Ok(()) => Ok(Outcome::Done),
        }
    }

    fn zone_of(&self, node: &str) -> Option<String> {
        self.nodes.get("", node)?.metadata.labels.as_ref()?.get("topology.kubernetes.io/zone").cloned()
    }

    async fn carry_out(&self, key: &ObjectKey, plan: Plan) -> kube::Result<()> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        if !plan.create.is_empty() {
            self.expectations.expect(&key.to_string(), plan.create.len(), []);
        }
        let mut left = plan.create.len();
        for slice in &plan.create {
            if let Err(error) = api.create(&PostParams::default(), slice).await {
                self.expectations.creations_observed(&key.to_string(), left);
                return Err(error);
            }
            left -= 1;
        }
        for slice in &plan.update {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            api.replace(name, &PostParams::default(), slice).await?;
        }
        for slice in &plan.delete {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            match api.delete(name, &DeleteParams::default()).await {
                Err(error) if !is_not_found(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(ObjectKey::new(slice.metadata.namespace.as_deref().unwrap_or_default(), service))
}

/// The services, with the index that pods are matched by.
pub(crate) fn services(context: &Context) -> Informer<Service> {
    let services = context.informers.of::<Service>();
    services.add_index(BY_NAMESPACE, |service| service.metadata.namespace.clone().into_iter().collect());
    services
}

/// The services whose endpoints a change of a pod concerns.
pub(crate) fn services_of_pod(
    change: &Change<Pod>,
    services: &Store<Service>,
    mut tell: impl FnMut(ObjectKey),
) {
    let (old, new) = match change {
        Change::Updated { old, new } if !endpoint_changed(old, new) => return,
        Change::Updated { old, new } => (Some(old), new),
        Change::Added(pod) | Change::Deleted(pod) => (None, pod),
    };
    let namespace = new.metadata.namespace.as_deref().unwrap_or_default();
    for service in services.by_index(BY_NAMESPACE, namespace) {
        let Some(selector) = selector(&service) else { continue };
        if selects(selector, new) || old.is_some_and(|old| selects(selector, old)) {
            tell(ObjectKey::of(&*service));
        }
    }
}

struct Handle(Arc<EndpointSliceController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, EndpointSliceController::sync);
    }
}
