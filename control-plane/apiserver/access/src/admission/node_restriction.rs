//! NodeRestriction: a kubelet writes its own node, lease and CSINode, mirror pods of its own, and the status of the pods
//! that run on it; tokens it asks for are bound to those pods.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::{name_of, refuse};
use crate::authorization::denied_message;
use crate::names::{MIRROR_POD_ANNOTATION, node_identity};
use crate::pod_references::{ReferenceKind, references};
use crate::resources::{NODES, PODS};
use crate::types::{
    AdmissionPlugin, AdmissionRequest, Attributes, Authorizer, Decision, Objects, Operation, Phase,
};
use crate::value::{annotation, items, name, text, texts, uid};

mod labels;

const LEASE_NAMESPACE: &str = "kube-node-lease";

pub struct NodeRestriction {
    objects: Arc<dyn Objects>,
    authorizer: Arc<dyn Authorizer>,
}

/// Why a write is refused: plain words become a 403, a Status is given as it is.
enum Refusal {
    Why(String),
    Status(Status),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Why(why)
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self::Why(why.into())
    }
}

type Verdict = Result<(), Refusal>;

impl NodeRestriction {
    pub fn new(objects: Arc<dyn Objects>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { objects, authorizer }
    }

    async fn decide(&self, node: &str, request: &AdmissionRequest<'_>) -> Verdict {
        match (&*request.resource.group, &*request.resource.resource, request.subresource) {
            ("", "pods", "") => self.pod(node, request),
            ("", "pods", "status") => pod_status(node, request),
            ("", "pods", "eviction") => self.eviction(node, request),
            ("", "pods", other) => {
                Err(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed")
                    .into())
            }
            ("", "nodes", _) => own_node(node, request),
            ("", "persistentvolumeclaims", "status") => claim_status(node, request),
            ("", "persistentvolumeclaims", _) => Err("may only update PVC status".into()),
            ("", "serviceaccounts", "token") if request.operation == Operation::Create => {
                self.token(node, request).await
            }
            ("coordination.k8s.io", "leases", _) if request.namespace != LEASE_NAMESPACE => {
                Err(format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace").into())
            }
            ("coordination.k8s.io", "leases", _) => named_as_node(node, request, "node lease"),
            ("storage.k8s.io", "csinodes", _) => named_as_node(node, request, "CSINode"),
            ("resource.k8s.io", "resourceslices", _) => resource_slice(node, request),
            _ => Ok(()),
        }
    }

    fn pod(&self, node: &str, request: &AdmissionRequest<'_>) -> Verdict {
        match request.operation {
            Operation::Create => self.new_pod(node, request),
            Operation::Delete => {
                let pod = self.existing_pod(request.namespace, request.name)?;
                own(&pod, node, || {
                    format!("node {node:?} can only delete pods with spec.nodeName set to itself")
                })
            }
            other => Err(format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                upper(other)
            )
            .into()),
        }
    }

    fn new_pod(&self, node: &str, request: &AdmissionRequest<'_>) -> Verdict {
        let pod = object(request)?;
        if annotation(pod, MIRROR_POD_ANNOTATION).is_none() {
            return Err(format!(
                "pod does not have {MIRROR_POD_ANNOTATION:?} annotation, node {node:?} can only create mirror pods"
            )
            .into());
        }
        own(pod, node, || format!("node {node:?} can only create pods with spec.nodeName set to itself"))?;
        self.owned_by_node(node, pod)?;
        names_nothing(node, pod)
    }

    fn owned_by_node(&self, node: &str, pod: &Value) -> Verdict {
        let with = |what: &str| {
            format!("node {node:?} can only create pods with {what} owner reference set to itself")
        };
        let owner = match items(pod, &["metadata", "ownerReferences"]) {
            [] => return Err(with("an").into()),
            [one] => one,
            _ => return Err(with("a single").into()),
        };
        let is_node = text(owner, &["apiVersion"]) == "v1" && text(owner, &["kind"]) == "Node";
        if !is_node || text(owner, &["name"]) != node {
            return Err(with("an").into());
        }
        if owner["controller"] != true {
            return Err(with("a controller").into());
        }
        if owner["blockOwnerDeletion"] == true {
            return Err(format!("node {node:?} must not set blockOwnerDeletion on an owner reference").into());
        }
        let Some(known) = self.objects.get(&NODES, "", node) else {
            return Err(Refusal::Status(Status::not_found(&NODES, node)));
        };
        let given = text(owner, &["uid"]);
        if given != uid(&known) {
            return Err(format!("node {node} UID mismatch: expected {given} got {}", uid(&known)).into());
        }
        Ok(())
    }

    fn eviction(&self, node: &str, request: &AdmissionRequest<'_>) -> Verdict {
        if request.operation != Operation::Create {
            return Err(format!("unexpected operation {}", upper(request.operation)).into());
        }
        let name = name_of(request);
        if name.is_empty() {
            return Err("could not determine pod from request data".into());
        }
        let pod = self.existing_pod(request.namespace, name)?;
        own(&pod, node, || format!("node {node} can only evict pods with spec.nodeName set to itself"))
    }

    async fn token(&self, node: &str, request: &AdmissionRequest<'_>) -> Verdict {
        let asked = object(request)?;
        let reference = &asked["spec"]["boundObjectRef"];
        let (bound, bound_uid) = (text(reference, &["name"]), text(reference, &["uid"]));
        let is_pod = text(reference, &["apiVersion"]) == "v1" && text(reference, &["kind"]) == "Pod";
        if !is_pod || bound.is_empty() {
            return Err("node requested token not bound to a pod".into());
        }
        if bound_uid.is_empty() {
            return Err("node requested token with a pod binding without a uid".into());
        }
        let pod = self.existing_pod(request.namespace, bound)?;
        if bound_uid != uid(&pod) {
            return Err(format!(
                "the UID in the bound object reference ({bound_uid}) does not match the UID in record. The object \
                 might have been deleted and then recreated"
            )
            .into());
        }
        own(&pod, node, || "node requested token bound to a pod scheduled on a different node".into())?;
        self.audience(request, asked, &pod).await
    }

    /// A node gets tokens for the audiences that the pod's volumes name, or that it is allowed to ask for.
    /// (ServiceAccountNodeAudienceRestriction)
    async fn audience(&self, request: &AdmissionRequest<'_>, asked: &Value, pod: &Value) -> Verdict {
        let audiences = texts(asked, &["spec", "audiences"]);
        let audience = match audiences.as_slice() {
            [] => return Ok(()),
            [one] if one.is_empty() => return Ok(()),
            [one] => one,
            _ => return Err("node may only request 0 or 1 audiences".into()),
        };
        if projected_audiences(pod).any(|named| named == audience) || self.driver_asks_for(pod, audience) {
            return Ok(());
        }
        let attributes = Attributes {
            resource: audience.clone(),
            namespace: request.namespace.into(),
            name: request.name.into(),
            ..Attributes::of_resources(request.user.clone(), "request-serviceaccounts-token-audience")
        };
        match self.authorizer.authorize(&attributes).await {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(_) | Decision::NoOpinion(_) => {
                tracing::debug!(denied = denied_message(&attributes), "audience of a node's token request");
                Err(format!("audience {audience:?} not found in pod spec volume").into())
            }
        }
    }

    /// CSI drivers of the pod's volumes name audiences for tokens of their own.
    fn driver_asks_for(&self, pod: &Value, audience: &str) -> bool {
        let drivers = oarlock_api::GroupResource::new("storage.k8s.io", "csidrivers");
        let names = items(pod, &["spec", "volumes"]).iter().map(|v| text(v, &["csi", "driver"]));
        names.filter(|name| !name.is_empty()).any(|name| {
            self.objects.get(&drivers, "", name).is_some_and(|driver| {
                items(&driver, &["spec", "tokenRequests"]).iter().any(|r| text(r, &["audience"]) == audience)
            })
        })
    }

    fn existing_pod(&self, namespace: &str, name: &str) -> Result<Arc<Value>, Refusal> {
        self.objects
            .get(&PODS, namespace, name)
            .ok_or_else(|| Refusal::Status(Status::not_found(&PODS, name)))
    }
}

#[async_trait]
impl AdmissionPlugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && node_identity(request.user).is_some()
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let request = &*request;
        let verdict = match node_identity(request.user) {
            None => return Ok(()),
            Some("") => Err(format!("could not determine node from user {:?}", request.user.name).into()),
            Some(node) => self.decide(node, request).await,
        };
        verdict.map_err(|refusal| match refusal {
            Refusal::Why(why) => refuse(request, why),
            Refusal::Status(status) => status,
        })
    }
}

fn object<'a>(request: &'a AdmissionRequest<'_>) -> Result<&'a Value, Refusal> {
    request.object.as_deref().ok_or_else(|| "unexpected type <nil>".into())
}

fn own(pod: &Value, node: &str, why: impl Fn() -> String) -> Verdict {
    if text(pod, &["spec", "nodeName"]) == node { Ok(()) } else { Err(why().into()) }
}

fn upper(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

/// A mirror pod opens no other object to its node.
fn names_nothing(node: &str, pod: &Value) -> Verdict {
    let refers = |kind| references(pod).iter().any(|(k, _)| *k == kind);
    let projects = |volume: &Value| {
        items(volume, &["projected", "sources"]).iter().any(|source| source["clusterTrustBundle"].is_object())
    };
    let what = if refers(ReferenceKind::ServiceAccount) {
        "a service account"
    } else if refers(ReferenceKind::Secret) {
        "secrets"
    } else if refers(ReferenceKind::ConfigMap) {
        "configmaps"
    } else if items(pod, &["spec", "volumes"]).iter().any(projects) {
        "clustertrustbundles"
    } else if refers(ReferenceKind::PersistentVolumeClaim) {
        "persistentvolumeclaims"
    } else if !items(pod, &["spec", "resourceClaims"]).is_empty() {
        "resourceclaims"
    } else {
        return Ok(());
    };
    Err(format!("node {node:?} can not create pods that reference {what}").into())
}

fn pod_status(node: &str, request: &AdmissionRequest<'_>) -> Verdict {
    if request.operation != Operation::Update {
        return Err(format!("unexpected operation {:?}", upper(request.operation)).into());
    }
    let (Some(old), new) = (request.old_object, object(request)?) else {
        return Err("unexpected type <nil>".into());
    };
    own(old, node, || {
        format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")
    })?;
    if labels::modified(new, Some(old)).next().is_some() {
        return Err(format!("node {node:?} cannot update labels through pod status").into());
    }
    let claims = |pod: &Value| items(pod, &["status", "resourceClaimStatuses"]).to_vec();
    if claims(old) != claims(new) {
        return Err(format!("node {node:?} cannot update resource claim statues").into());
    }
    Ok(())
}

fn own_node(node: &str, request: &AdmissionRequest<'_>) -> Verdict {
    let asked = name_of(request);
    if asked != node {
        return Err(format!("node {node:?} is not allowed to modify node {asked:?}").into());
    }
    match request.operation {
        Operation::Create => new_node(node, object(request)?),
        Operation::Update => {
            let Some(old) = request.old_object else { return Err("unexpected type <nil>".into()) };
            changed_node(node, object(request)?, old)
        }
        Operation::Delete | Operation::Connect => Ok(()),
    }
}

fn new_node(node: &str, new: &Value) -> Verdict {
    if !new["spec"]["configSource"].is_null() {
        let why = format!("node {node:?} is not allowed to create pods with a non-nil configSource");
        return Err(why.into());
    }
    match labels::forbidden(labels::modified(new, None)) {
        none if none.is_empty() => Ok(()),
        some => {
            Err(format!("node {node:?} is not allowed to set the following labels: {}", some.join(", "))
                .into())
        }
    }
}

fn changed_node(node: &str, new: &Value, old: &Value) -> Verdict {
    let source = &new["spec"]["configSource"];
    if !source.is_null() && *source != old["spec"]["configSource"] {
        return Err(format!(
            "node {node:?} is not allowed to update configSource to a new non-nil configSource"
        )
        .into());
    }
    if items(new, &["spec", "taints"]) != items(old, &["spec", "taints"]) {
        return Err(format!("node {node:?} is not allowed to modify taints").into());
    }
    match labels::forbidden(labels::modified(new, Some(old))) {
        none if none.is_empty() => Ok(()),
        some => Err(format!("is not allowed to modify labels: {}", some.join(", ")).into()),
    }
}

fn claim_status(node: &str, request: &AdmissionRequest<'_>) -> Verdict {
    if request.operation != Operation::Update {
        return Err(format!("unexpected operation {:?}", upper(request.operation)).into());
    }
    let (Some(old), new) = (request.old_object, object(request)?) else {
        return Err("unexpected type <nil>".into());
    };
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        let status = ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"];
        for (part, fields) in
            [("metadata", ["resourceVersion", "managedFields"].as_slice()), ("status", &status)]
        {
            if let Some(part) = claim[part].as_object_mut() {
                fields.iter().for_each(|field| drop(part.remove(*field)));
            }
        }
        claim
    };
    if rest(old) != rest(new) {
        return Err(format!(
            "node {node:?} is not allowed to update fields other than status.capacity and status.conditions"
        )
        .into());
    }
    Ok(())
}

fn named_as_node(node: &str, request: &AdmissionRequest<'_>, what: &str) -> Verdict {
    let asked = match (request.operation, request.object.as_deref()) {
        (Operation::Create, Some(object)) => name(object),
        _ => request.name,
    };
    if asked == node {
        return Ok(());
    }
    Err(format!("can only access {what} with the same name as the requesting node").into())
}

fn resource_slice(node: &str, request: &AdmissionRequest<'_>) -> Verdict {
    if request.operation == Operation::Create && text(object(request)?, &["spec", "nodeName"]) != node {
        return Err("can only create ResourceSlice with the same NodeName as the requesting node".into());
    }
    Ok(())
}

fn projected_audiences(pod: &Value) -> impl Iterator<Item = &str> {
    items(pod, &["spec", "volumes"])
        .iter()
        .flat_map(|volume| items(volume, &["projected", "sources"]))
        .map(|source| text(source, &["serviceAccountToken", "audience"]))
}
