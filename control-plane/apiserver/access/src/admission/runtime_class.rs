//! RuntimeClass: a pod's sandbox has the overhead and the place in the cluster that its RuntimeClass says.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::{is_main, refuse, tolerations};
use crate::resources::RUNTIME_CLASSES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{items, map_mut, text};
use oarlock_quota::amounts::amounts;

pub struct RuntimeClass {
    objects: Arc<dyn Objects>,
}

impl RuntimeClass {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }

    async fn class(&self, request: &AdmissionRequest<'_>) -> Result<Option<Arc<Value>>, Status> {
        let class = request.object.as_deref().map(|pod| text(pod, &["spec", "runtimeClassName"]));
        let Some(class) = class.filter(|class| !class.is_empty()) else { return Ok(None) };
        let found = match self.objects.get(&RUNTIME_CLASSES, "", class) {
            Some(found) => Some(found),
            None => self.objects.get_fresh(&RUNTIME_CLASSES, "", class).await?,
        };
        match found {
            Some(found) => Ok(Some(found)),
            None => Err(refuse(request, format!("pod rejected: RuntimeClass {class:?} not found"))),
        }
    }
}

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

fn overhead_of(class: &Value) -> Option<&Value> {
    class.get("overhead").filter(|overhead| overhead.is_object()).map(|overhead| &overhead["podFixed"])
}

fn set_overhead(pod: &mut Value, class: &Value) -> Result<(), String> {
    let Some(overhead) = overhead_of(class).filter(|overhead| overhead.is_object()) else { return Ok(()) };
    let told = amounts(&pod["spec"]["overhead"]);
    if !told.is_empty() && told != amounts(overhead) {
        return Err(MISMATCH.into());
    }
    pod["spec"]["overhead"] = overhead.clone();
    Ok(())
}

fn set_scheduling(pod: &mut Value, class: &Value) -> Result<(), String> {
    let scheduling = &class["scheduling"];
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let selector = map_mut(&mut pod["spec"], "nodeSelector");
        let (had, value) = (selector.get(key).cloned(), value.as_str().unwrap_or_default());
        if let Some(had) = had.as_ref().and_then(Value::as_str).filter(|had| *had != value) {
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {had}"
            ));
        }
        selector.insert(key.clone(), value.into());
    }
    let more = items(scheduling, &["tolerations"]);
    if !more.is_empty() {
        let merged = tolerations::merge(items(pod, &["spec", "tolerations"]), more);
        pod["spec"]["tolerations"] = merged.into();
    }
    Ok(())
}

#[async_trait]
impl AdmissionPlugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, _phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        let set = |pod: &Value| {
            !text(pod, &["spec", "runtimeClassName"]).is_empty() || pod["spec"]["overhead"].is_object()
        };
        is_main(request, "", "pods") && request.object.as_deref().is_some_and(set)
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(class) = self.class(request).await? else { return Ok(()) };
        let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
        let set = set_overhead(pod, &class).and_then(|()| set_scheduling(pod, &class));
        set.map_err(|why| refuse(request, why))
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let class = self.class(request).await?;
        let Some(pod) = request.object.as_deref() else { return Ok(()) };
        let told = &pod["spec"]["overhead"];
        match class.as_deref().and_then(overhead_of) {
            Some(overhead) if amounts(overhead) != amounts(told) => Err(refuse(request, MISMATCH)),
            None if told.is_object() => Err(refuse(
                request,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            )),
            _ => Ok(()),
        }
    }
}
