//! root-ca-certificate-publisher: every namespace has the ConfigMap `kube-root-ca.crt`, by which its pods know the API
//! server.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{
    ObjectKey, Outcome, Selection, Store, WorkQueue, is_already_exists, is_conflict,
    is_namespace_terminating, is_not_found,
};

use crate::common::context::work;
use crate::common::{Context, Controller};
use crate::serviceaccount::is_active;

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

pub(crate) struct RootCaController {
    client: Client,
    root_ca: String,
    namespaces: Store<Namespace>,
    maps: Store<ConfigMap>,
    queue: WorkQueue<ObjectKey>,
}

impl RootCaController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let namespaces = context.informers.of::<Namespace>();
        let maps =
            context.informers.select::<ConfigMap>(Selection::all().fields(&format!("metadata.name={NAME}")));
        let queue = WorkQueue::new("root_ca_cert_publisher");
        let keys = queue.clone();
        namespaces.subscribe(move |change| keys.add(ObjectKey::of(&**change.object())));
        let keys = queue.clone();
        maps.subscribe(move |change| {
            keys.add(ObjectKey::new("", change.object().metadata.namespace.as_deref().unwrap_or_default()));
        });
        Box::new(Handle(Arc::new(Self {
            client: context.client("root-ca-cert-publisher"),
            root_ca: context.config.root_ca.clone(),
            namespaces: namespaces.store(),
            maps: maps.store(),
            queue,
        })))
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let active = self.namespaces.get_key(&key).is_some_and(|namespace| is_active(&namespace));
        if !active {
            return Ok(Outcome::Done);
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.name);
        let written = match plan(self.maps.get(&key.name, NAME).as_deref(), &key.name, &self.root_ca) {
            Plan::Nothing => return Ok(Outcome::Done),
            Plan::Create(map) => api.create(&PostParams::default(), &map).await,
            Plan::Update(map) => api.replace(NAME, &PostParams::default(), &map).await,
        };
        match written {
            Err(error) if is_already_exists(&error) || is_conflict(&error) || is_not_found(&error) => {
                Ok(Outcome::Requeue)
            }
            Err(error) if is_namespace_terminating(&error) => Ok(Outcome::Done),
            written => written.map(|_| Outcome::Done),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    Create(ConfigMap),
    Update(ConfigMap),
}

fn plan(seen: Option<&ConfigMap>, namespace: &str, root_ca: &str) -> Plan {
    let data: BTreeMap<String, String> = [("ca.crt".to_string(), root_ca.to_string())].into();
    let Some(seen) = seen else {
        return Plan::Create(ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.into()),
                namespace: Some(namespace.into()),
                annotations: Some([(DESCRIPTION.to_string(), DESCRIPTION_TEXT.to_string())].into()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        });
    };
    let described = seen.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(DESCRIPTION));
    if seen.data.as_ref() == Some(&data) && described {
        return Plan::Nothing;
    }
    let mut new = seen.clone();
    new.data = Some(data);
    let annotations = new.metadata.annotations.get_or_insert_default();
    annotations.insert(DESCRIPTION.into(), DESCRIPTION_TEXT.into());
    Plan::Update(new)
}

struct Handle(Arc<RootCaController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, 1, RootCaController::sync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use oarlock_client::testing::FakeApi;
    use serde_json::json;

    #[tokio::test]
    async fn the_certificate_is_published_and_kept() {
        let api = FakeApi::new();
        api.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}));
        let world = World::start(api.clone(), RootCaController::register).await;
        let mut map = api.until(|api| api.get("configmaps", "a", NAME)).await;
        assert_eq!(map["data"], json!({"ca.crt": "root ca"}));
        map["data"] = json!({"ca.crt": "forged"});
        api.put(map);
        api.until(|api| api.get("configmaps", "a", NAME).filter(|map| map["data"]["ca.crt"] == "root ca"))
            .await;
        api.remove("configmaps", "a", NAME);
        api.until(|api| api.get("configmaps", "a", NAME)).await;
        world.end().await;
    }
}
