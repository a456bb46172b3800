//! DefaultBinder: writes the Binding.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde::de::IgnoredAny;

use crate::framework::{Bind, CycleState, Plugin, Status};
use crate::model::PodInfo;

pub struct DefaultBinder {
    client: Client,
}

impl DefaultBinder {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn write(&self, pod: &PodInfo, node: &str) -> Result<(), String> {
        let binding = Binding {
            metadata: ObjectMeta {
                namespace: Some(pod.namespace.to_string()),
                name: Some(pod.name.to_string()),
                // The API server refuses it for another pod of the same name.
                uid: Some(pod.uid.0.to_string()),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".into()),
                name: Some(node.into()),
                ..ObjectReference::default()
            },
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let params = PostParams::default();
        match pods.create_subresource("binding", &pod.name, &params, &binding).await {
            Ok(IgnoredAny) => Ok(()),
            Err(kube::Error::Api(status)) => Err(status.message),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }
}

#[async_trait]
impl Bind for DefaultBinder {
    async fn bind(&self, _: &CycleState, pod: &PodInfo, node: &str) -> Status {
        match self.write(pod, node).await {
            Ok(()) => Status::SUCCESS,
            Err(message) => Status::error(message),
        }
    }
}
