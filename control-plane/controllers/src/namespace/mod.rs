//! namespace: empties a namespace that is being deleted, and then lets it go.
//!
//! [`content`] deletes what is in it, whatever its kind; [`plan`] says what to report of the progress.

mod content;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::PostParams;
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{Change, ObjectKey, Outcome, Store, WorkQueue, is_conflict, is_not_found};
use thiserror::Error;

use crate::common::context::work;
use crate::common::{ApiError, Context, Controller, api_error};
use content::Content;

const WORKERS: usize = 10;
const FINALIZER: &str = "kubernetes";

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("some content could not be deleted: {0}")]
    Content(String),
}

pub(crate) struct NamespaceController {
    client: Client,
    namespaces: Store<Namespace>,
    queue: WorkQueue<ObjectKey>,
}

impl NamespaceController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let namespaces = context.informers.of::<Namespace>();
        let controller = Arc::new(Self {
            client: context.client("namespace-controller"),
            namespaces: namespaces.store(),
            queue: WorkQueue::new("namespace"),
        });
        let handler = controller.clone();
        namespaces.subscribe(move |change| {
            let namespace = change.object();
            if namespace.metadata.deletion_timestamp.is_some() && !matches!(change, Change::Deleted(_)) {
                handler.queue.add(ObjectKey::of(&**namespace));
            }
        });
        let handler = controller.clone();
        context.pods().subscribe(move |change| handler.pod_changed(change));
        Box::new(Handle(controller))
    }

    /// The last pod to end is what most deletions wait for.
    fn pod_changed(&self, change: &Change<Pod>) {
        let Change::Deleted(pod) = change else { return };
        let key = ObjectKey::new("", pod.metadata.namespace.as_deref().unwrap_or_default());
        let namespace = self.namespaces.get_key(&key);
        if namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
            self.queue.add(key);
        }
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let live = api.get_opt(&key.name).await.map_err(api_error("look at a namespace"))?;
        let Some(mut namespace) = live else { return Ok(Outcome::Done) };
        if namespace.metadata.deletion_timestamp.is_none() || !has_finalizer(&namespace) {
            return Ok(Outcome::Done);
        }
        let content =
            content::delete_all(&self.client, &key.name).await.map_err(api_error("delete the content"))?;
        if plan::report(&mut namespace, &content, Timestamp::now()) {
            match api.replace_status(&key.name, &PostParams::default(), &namespace).await {
                Ok(written) => namespace = written,
                Err(error) if is_not_found(&error) => return Ok(Outcome::Done),
                Err(error) if is_conflict(&error) => return Ok(Outcome::Requeue),
                Err(error) => return Err(api_error("write the status of a namespace")(error).into()),
            }
        }
        if !content.failures.is_empty() {
            return Err(Error::Content(content.failures.join("; ")));
        }
        if !content.is_gone() {
            return Ok(next_look(&content));
        }
        self.finalize(namespace).await
    }

    async fn finalize(&self, mut namespace: Namespace) -> Result<Outcome, Error> {
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = namespace.metadata.name.clone().unwrap_or_default();
        match api.replace_subresource("finalize", &name, &PostParams::default(), &namespace).await {
            Err(error) if is_conflict(&error) => Ok(Outcome::Requeue),
            Err(error) if !is_not_found(&error) => Err(api_error("finalize a namespace")(error).into()),
            _ => Ok(Outcome::Done),
        }
    }
}

fn has_finalizer(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == FINALIZER))
}

/// Pods take the time they were granted, and their end brings the key back at once; what waits for the garbage
/// collector or a finalizer is gone soon or late.
fn next_look(content: &Content) -> Outcome {
    if content.grace_seconds > 0 {
        Outcome::RequeueAfter(Duration::from_secs(content.grace_seconds / 2 + 1))
    } else {
        Outcome::Requeue
    }
}

struct Handle(Arc<NamespaceController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, NamespaceController::sync);
    }
}
