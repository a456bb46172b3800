//! PodNodeSelector: a namespace's pods run on the namespace's nodes. Off by default.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::{is_main, refuse};
use crate::resources::NAMESPACES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{annotation, map_mut};

const ANNOTATIONS: [&str; 1] = ["scheduler.alpha.kubernetes.io/node-selector"];
const CLUSTER_DEFAULT: &str = "clusterDefaultNodeSelector";

type Pairs = BTreeMap<String, String>;

pub struct PodNodeSelector {
    objects: Arc<dyn Objects>,
    /// By namespace, and the cluster's default.
    selectors: Pairs,
}

impl PodNodeSelector {
    /// `configuration` is the plugin's: `podNodeSelectorPluginConfig`, or the map in it.
    pub fn new(objects: Arc<dyn Objects>, configuration: &Value) -> Self {
        let map = configuration.get("podNodeSelectorPluginConfig").unwrap_or(configuration);
        let pairs = map.as_object().into_iter().flatten();
        let selectors =
            pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_string()))).collect();
        Self { objects, selectors }
    }

    /// What the namespace, or else the cluster, says.
    async fn of_namespace(&self, request: &AdmissionRequest<'_>) -> Result<Pairs, Status> {
        let name = request.namespace;
        let found = match self.objects.get(&NAMESPACES, "", name) {
            Some(found) => Some(found),
            None => self.objects.get_fresh(&NAMESPACES, "", name).await?,
        };
        let namespace = found.ok_or_else(|| Status::not_found(&NAMESPACES, name))?;
        let mut all = Pairs::new();
        let mut said = false;
        for text in ANNOTATIONS.iter().filter_map(|key| annotation(&namespace, key)) {
            said = true;
            let pairs = parse(text).ok_or_else(|| refuse(request, format!("invalid selector: {text:?}")))?;
            for (key, value) in pairs {
                if all.get(&key).is_some_and(|had| *had != value) {
                    return Err(refuse(
                        request,
                        format!("{name} annotations' node label selectors conflict"),
                    ));
                }
                all.insert(key, value);
            }
        }
        if !said && let Some(default) = self.selectors.get(CLUSTER_DEFAULT) {
            all = parse(default).unwrap_or_default();
        }
        Ok(all)
    }
}

/// `a=b,c=d`.
fn parse(text: &str) -> Option<Pairs> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').map(|(k, v)| (k.trim().into(), v.trim().into()))).collect()
}

fn conflicts(pod: &Value, pairs: &Pairs) -> bool {
    let selector = &pod["spec"]["nodeSelector"];
    pairs.iter().any(|(key, value)| selector.get(key).is_some_and(|had| had != value.as_str()))
}

#[async_trait]
impl AdmissionPlugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, _phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        is_main(request, "", "pods")
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let pairs = self.of_namespace(request).await?;
        let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
        if conflicts(pod, &pairs) {
            return Err(refuse(
                request,
                "pod node label selector conflicts with its namespace node label selector",
            ));
        }
        for (key, value) in pairs {
            map_mut(&mut pod["spec"], "nodeSelector").insert(key, value.into());
        }
        Ok(())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let pairs = self.of_namespace(request).await?;
        let Some(pod) = request.object.as_deref() else { return Ok(()) };
        if conflicts(pod, &pairs) {
            return Err(refuse(
                request,
                "pod node label selector conflicts with its namespace node label selector",
            ));
        }
        let Some(allowed) = self.selectors.get(request.namespace).and_then(|text| parse(text)) else {
            return Ok(());
        };
        let selector = pod["spec"]["nodeSelector"].as_object().into_iter().flatten();
        let inside = |(key, value): (&String, &Value)| allowed.get(key).is_some_and(|v| value == v.as_str());
        let mut selector = selector;
        if selector.all(inside) {
            return Ok(());
        }
        Err(refuse(request, "pod node label selector labels conflict with its namespace whitelist"))
    }
}
