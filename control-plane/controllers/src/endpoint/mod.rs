//! endpoint: keeps the Endpoints object of each service that has a selector, for readers of the older API.
//!
//! [`plan`] builds it; Endpoints that others made for services without a selector are not touched.

mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{
    Change, EventRecorder, EventType, ObjectKey, Outcome, Store, WorkQueue, is_already_exists, is_conflict,
    is_namespace_terminating, is_not_found, object_ref,
};

use crate::common::addresses::{selector, selects};
use crate::common::context::{BY_NAMESPACE, work};
use crate::common::{Context, Controller, error_text};
use crate::endpointslice::{services, services_of_pod};

const WORKERS: usize = 5;

pub(crate) struct EndpointsController {
    client: Client,
    events: EventRecorder,
    services: Store<Service>,
    pods: Store<Pod>,
    endpoints: Store<Endpoints>,
    queue: WorkQueue<ObjectKey>,
}

impl EndpointsController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client("endpoint-controller");
        let (services, pods) = (services(context), context.pods());
        let endpoints = context.informers.of::<Endpoints>();
        let controller = Arc::new(Self {
            events: context.recorder(&client, "endpoint-controller"),
            client,
            services: services.store(),
            pods: pods.store(),
            endpoints: endpoints.store(),
            queue: WorkQueue::new("endpoint"),
        });
        let handler = controller.clone();
        services.subscribe(move |change| handler.queue.add(ObjectKey::of(&**change.object())));
        let handler = controller.clone();
        pods.subscribe(move |change| {
            services_of_pod(change, &handler.services, |service| handler.queue.add(service));
        });
        let handler = controller.clone();
        endpoints.subscribe(move |change| {
            if !matches!(change, Change::Updated { .. }) {
                handler.queue.add(ObjectKey::of(&**change.object()));
            }
        });
        Box::new(Handle(controller))
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
        let seen = self.endpoints.get_key(&key);
        let Some(service) = self.services.get_key(&key) else {
            // Only what this controller made: others may keep Endpoints without a service.
            if seen.is_some_and(|seen| plan::is_ours(&seen)) {
                match api.delete(&key.name, &DeleteParams::default()).await {
                    Err(error) if !is_not_found(&error) => return Err(error),
                    _ => {}
                }
            }
            return Ok(Outcome::Done);
        };
        let Some(selector) = selector(&service) else { return Ok(Outcome::Done) };
        let mut pods = self.pods.by_index(BY_NAMESPACE, &key.namespace);
        pods.retain(|pod| selects(selector, pod));
        let Some(wanted) = plan::plan(&service, &pods, seen.as_deref()) else { return Ok(Outcome::Done) };
        let written = match &seen {
            Some(_) => api.replace(&key.name, &PostParams::default(), &wanted).await,
            None => api.create(&PostParams::default(), &wanted).await,
        };
        match written {
            Err(error) if is_conflict(&error) || is_already_exists(&error) || is_not_found(&error) => {
                Ok(Outcome::Requeue)
            }
            Err(error) if is_namespace_terminating(&error) => Ok(Outcome::Done),
            Err(error) => {
                let (what, reason) = match seen {
                    Some(_) => ("update", "FailedToUpdateEndpoint"),
                    None => ("create", "FailedToCreateEndpoint"),
                };
                let message = format!("Failed to {what} endpoint {key}: {}", error_text(&error));
                self.events.event(&object_ref(&wanted), EventType::Warning, reason, message);
                Err(error)
            }
            Ok(_) => Ok(Outcome::Done),
        }
    }
}

struct Handle(Arc<EndpointsController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, EndpointsController::sync);
    }
}
