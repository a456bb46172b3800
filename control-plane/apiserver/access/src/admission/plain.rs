//! Plugins of few words that are off unless `--enable-admission-plugins` names them: AlwaysAdmit, AlwaysDeny,
//! AlwaysPullImages, DenyServiceExternalIPs, ExtendedResourceToleration, LimitPodHardAntiAffinityTopology,
//! NamespaceExists.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{FieldError, Path, Status};
use serde_json::{Value, json};

use super::{is, is_main, refuse, tolerations};
use crate::resources::NAMESPACES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{items, text, texts};

pub struct AlwaysAdmit;

#[async_trait]
impl AdmissionPlugin for AlwaysAdmit {
    fn name(&self) -> &'static str {
        "AlwaysAdmit"
    }

    fn handles(&self, _operation: Operation) -> bool {
        false
    }
}

pub struct AlwaysDeny;

#[async_trait]
impl AdmissionPlugin for AlwaysDeny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }

    fn handles(&self, _operation: Operation) -> bool {
        true
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        Err(refuse(request, "admission control is denying all modifications"))
    }
}

/// Nobody runs an image that they could not pull themselves.
pub struct AlwaysPullImages;

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn images(pod: &Value) -> BTreeSet<&str> {
    let containers = LISTS.iter().flat_map(|list| items(pod, &["spec", list])).map(|c| text(c, &["image"]));
    let volumes = items(pod, &["spec", "volumes"]).iter().map(|v| text(v, &["image", "reference"]));
    containers.chain(volumes).filter(|image| !image.is_empty()).collect()
}

#[async_trait]
impl AdmissionPlugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, _phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        let pods = is(request, "", "pods") && matches!(request.subresource, "" | "ephemeralcontainers");
        pods && match (request.object.as_deref(), request.old_object) {
            (Some(new), Some(old)) => !images(new).is_subset(&images(old)),
            _ => true,
        }
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
        for list in LISTS {
            for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
                container["imagePullPolicy"] = "Always".into();
            }
        }
        for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
            if volume["image"].is_object() {
                volume["image"]["pullPolicy"] = "Always".into();
            }
        }
        Ok(())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(pod) = request.object.as_deref() else { return Ok(()) };
        let mut faults = Vec::new();
        for list in LISTS {
            for (i, container) in items(pod, &["spec", list]).iter().enumerate() {
                let policy = text(container, &["imagePullPolicy"]);
                if policy != "Always" {
                    let path = Path::new("spec").child(list).index(i).child("imagePullPolicy");
                    faults.push(FieldError::not_supported(path, policy, &["Always"]).to_string());
                }
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(refuse(request, crate::authorization::aggregated(&faults)))
        }
    }
}

/// No new external addresses: they can take traffic that is meant for others. (CVE-2020-8554)
pub struct DenyServiceExternalIPs;

#[async_trait]
impl AdmissionPlugin for DenyServiceExternalIPs {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && is_main(request, "", "services")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let of = |service: &Value| texts(service, &["spec", "externalIPs"]);
        let new = request.object.as_deref().map(of).unwrap_or_default();
        let old = request.old_object.map(of).unwrap_or_default();
        if new.iter().all(|address| old.contains(address)) {
            return Ok(());
        }
        Err(refuse(request, "Use of external IPs is denied by admission control."))
    }
}

/// Pods that ask for a device may run on the nodes that are kept for it.
pub struct ExtendedResourceToleration;

#[async_trait]
impl AdmissionPlugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && is_main(request, "", "pods")
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
        let asked: BTreeSet<String> = ["initContainers", "containers"]
            .iter()
            .flat_map(|list| items(pod, &["spec", list]))
            .flat_map(|c| c["resources"]["requests"].as_object().into_iter().flatten())
            .map(|(name, _)| name.clone())
            .filter(|name| {
                name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
            })
            .collect();
        let more: Vec<Value> = asked
            .into_iter()
            .map(|name| json!({"key": name, "operator": "Exists", "effect": "NoSchedule"}))
            .collect();
        if !more.is_empty() {
            let merged = tolerations::merge(items(pod, &["spec", "tolerations"]), &more);
            pod["spec"]["tolerations"] = merged.into();
        }
        Ok(())
    }
}

/// Nobody keeps others off more than a node.
pub struct LimitPodHardAntiAffinityTopology;

#[async_trait]
impl AdmissionPlugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && is_main(request, "", "pods")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        const ALLOWED: &str = "kubernetes.io/hostname";
        const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
        let Some(pod) = request.object.as_deref() else { return Ok(()) };
        let terms = items(pod, &["spec", "affinity", "podAntiAffinity", REQUIRED]);
        match terms.iter().map(|term| text(term, &["topologyKey"])).find(|key| *key != ALLOWED) {
            None => Ok(()),
            Some(key) => Err(refuse(
                request,
                format!(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {ALLOWED} is \
                     allowed"
                ),
            )),
        }
    }
}

/// Nothing happens in a namespace that is not there.
pub struct NamespaceExists {
    objects: Arc<dyn Objects>,
}

impl NamespaceExists {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }
}

#[async_trait]
impl AdmissionPlugin for NamespaceExists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        let namespace = request.namespace;
        phase == Phase::Validate
            && !namespace.is_empty()
            && !is(request, "", "namespaces")
            && self.objects.get(&NAMESPACES, "", namespace).is_none()
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        match self.objects.get_fresh(&NAMESPACES, "", request.namespace).await? {
            Some(_) => Ok(()),
            None => Err(Status::not_found(&NAMESPACES, request.namespace)),
        }
    }
}
