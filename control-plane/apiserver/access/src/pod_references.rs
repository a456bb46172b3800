//! Which other objects a pod names: what its node may read, and what a mirror pod must not.

use serde_json::Value;

use crate::value::{items, name, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReferenceKind {
    Secret,
    ConfigMap,
    PersistentVolumeClaim,
    ResourceClaim,
    ServiceAccount,
}

pub(crate) type Reference = (ReferenceKind, Box<str>);

/// Everything in the pod's namespace that it names, each once.
pub(crate) fn references(pod: &Value) -> Vec<Reference> {
    let mut found = Found(Vec::new());
    found.add(ReferenceKind::ServiceAccount, text(pod, &["spec", "serviceAccountName"]));
    for secret in items(pod, &["spec", "imagePullSecrets"]) {
        found.add(ReferenceKind::Secret, text(secret, &["name"]));
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        items(pod, &["spec", list]).iter().for_each(|container| found.container(container));
    }
    for volume in items(pod, &["spec", "volumes"]) {
        found.volume(name(pod), volume);
    }
    found.claims(pod);
    found.0
}

/// Names of claims made from a template are in the status; until then nothing may be read.
pub(crate) fn resource_claim_names(pod: &Value) -> impl Iterator<Item = &str> {
    let made =
        items(pod, &["status", "resourceClaimStatuses"]).iter().map(|s| text(s, &["resourceClaimName"]));
    let given = items(pod, &["spec", "resourceClaims"]).iter().map(|c| text(c, &["resourceClaimName"]));
    let extended = text(pod, &["status", "extendedResourceClaimStatus", "resourceClaimName"]);
    given.chain(made).chain(std::iter::once(extended)).filter(|name| !name.is_empty())
}

struct Found(Vec<Reference>);

impl Found {
    fn add(&mut self, kind: ReferenceKind, name: &str) {
        if !name.is_empty() && !self.0.iter().any(|(k, n)| *k == kind && **n == *name) {
            self.0.push((kind, name.into()));
        }
    }

    fn container(&mut self, container: &Value) {
        for source in items(container, &["envFrom"]) {
            self.add(ReferenceKind::Secret, text(source, &["secretRef", "name"]));
            self.add(ReferenceKind::ConfigMap, text(source, &["configMapRef", "name"]));
        }
        for env in items(container, &["env"]) {
            self.add(ReferenceKind::Secret, text(env, &["valueFrom", "secretKeyRef", "name"]));
            self.add(ReferenceKind::ConfigMap, text(env, &["valueFrom", "configMapKeyRef", "name"]));
        }
    }

    fn volume(&mut self, pod: &str, volume: &Value) {
        self.add(ReferenceKind::ConfigMap, text(volume, &["configMap", "name"]));
        self.add(ReferenceKind::PersistentVolumeClaim, text(volume, &["persistentVolumeClaim", "claimName"]));
        if volume["ephemeral"].is_object() {
            let claim = format!("{pod}-{}", text(volume, &["name"]));
            self.add(ReferenceKind::PersistentVolumeClaim, &claim);
        }
        for source in items(volume, &["projected", "sources"]) {
            self.add(ReferenceKind::Secret, text(source, &["secret", "name"]));
            self.add(ReferenceKind::ConfigMap, text(source, &["configMap", "name"]));
        }
        // `secret` and `azureFile` name it directly; the other drivers have a reference.
        for driver in volume.as_object().into_iter().flat_map(|v| v.values()) {
            self.add(ReferenceKind::Secret, text(driver, &["secretName"]));
            self.add(ReferenceKind::Secret, text(driver, &["secretRef", "name"]));
            self.add(ReferenceKind::Secret, text(driver, &["nodePublishSecretRef", "name"]));
        }
    }

    fn claims(&mut self, pod: &Value) {
        let names: Vec<&str> = resource_claim_names(pod).collect();
        names.into_iter().for_each(|name| self.add(ReferenceKind::ResourceClaim, name));
    }
}

/// The secrets that a kubelet reads to mount a persistent volume, as (namespace, name).
pub(crate) fn volume_secrets(volume: &Value) -> Vec<(&str, &str)> {
    let claim = text(volume, &["spec", "claimRef", "namespace"]);
    let mut found = Vec::new();
    for driver in volume["spec"].as_object().into_iter().flat_map(|spec| spec.values()) {
        found.push((text(driver, &["secretNamespace"]), text(driver, &["secretName"])));
        for field in ["secretRef", "nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
            found.push((text(driver, &[field, "namespace"]), text(driver, &[field, "name"])));
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
        .iter_mut()
        .filter(|(namespace, _)| namespace.is_empty())
        .for_each(|(namespace, _)| *namespace = claim);
    found
}
