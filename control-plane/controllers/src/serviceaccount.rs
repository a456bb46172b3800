//! serviceaccount: every namespace has the service account `default`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{
    Change, ObjectKey, Outcome, Selection, Store, WorkQueue, is_already_exists, is_namespace_terminating,
};

use crate::common::context::work;
use crate::common::{Context, Controller};

const NAME: &str = "default";

pub(crate) struct ServiceAccountController {
    client: Client,
    namespaces: Store<Namespace>,
    accounts: Store<ServiceAccount>,
    queue: WorkQueue<ObjectKey>,
}

impl ServiceAccountController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let namespaces = context.informers.of::<Namespace>();
        let named = Selection::all().fields(&format!("metadata.name={NAME}"));
        let accounts = context.informers.select::<ServiceAccount>(named);
        let queue = WorkQueue::new("serviceaccount");
        let keys = queue.clone();
        namespaces.subscribe(move |change| keys.add(ObjectKey::of(&**change.object())));
        let keys = queue.clone();
        accounts.subscribe(move |change| {
            if let Change::Deleted(account) = change {
                keys.add(ObjectKey::new("", account.metadata.namespace.as_deref().unwrap_or_default()));
            }
        });
        Box::new(Handle(Arc::new(Self {
            client: context.client("service-account-controller"),
            namespaces: namespaces.store(),
            accounts: accounts.store(),
            queue,
        })))
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(namespace) = self.namespaces.get_key(&key) else { return Ok(Outcome::Done) };
        if !is_active(&namespace) || self.accounts.get(&key.name, NAME).is_some() {
            return Ok(Outcome::Done);
        }
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(NAME.into()),
                namespace: Some(key.name.to_string()),
                ..Default::default()
            },
            ..ServiceAccount::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.name);
        match api.create(&PostParams::default(), &account).await {
            Err(error) if !is_already_exists(&error) && !is_namespace_terminating(&error) => Err(error),
            _ => Ok(Outcome::Done),
        }
    }
}

/// Whether new content may still be made in a namespace.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

struct Handle(Arc<ServiceAccountController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, 1, ServiceAccountController::sync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use oarlock_client::testing::FakeApi;
    use serde_json::json;

    #[tokio::test]
    async fn every_namespace_gets_its_account_again_and_again() {
        let api = FakeApi::new();
        api.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}));
        let world = World::start(api.clone(), ServiceAccountController::register).await;
        api.until(|api| api.get("serviceaccounts", "a", "default")).await;
        api.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}));
        api.until(|api| api.get("serviceaccounts", "b", "default")).await;
        api.remove("serviceaccounts", "a", "default");
        api.until(|api| api.get("serviceaccounts", "a", "default")).await;
        world.end().await;
    }
}
