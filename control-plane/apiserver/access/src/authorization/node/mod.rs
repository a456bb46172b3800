//! The Node authoriser: a kubelet reaches its own node, lease and pods, and what those pods refer to, nothing else.

mod index;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use oarlock_base::Shutdown;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::watch;

use super::rbac::rule::Rule;
use crate::names::node_identity;
use crate::pod_references::{Reference, ReferenceKind, volume_secrets};
use crate::resources::{
    PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, RESOURCE_SLICES, VOLUME_ATTACHMENTS,
};
use crate::types::{Attributes, Authorizer, Decision, ObjectEvent, Objects, Rules, User};
use crate::value::{namespace, text};
use index::{NodeIndex, granting_references};

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// A kubelet may see a pod in its watch a moment before the index does: so long a refusal waits for it.
const INDEX_LAG: Duration = Duration::from_millis(50);

pub struct NodeAuthorizer {
    objects: Arc<dyn Objects>,
    /// What every node may do alike: the rules of ClusterRole `system:node`.
    rules: Vec<Rule>,
    index: RwLock<NodeIndex>,
    /// The index follows the pods.
    running: AtomicBool,
    changes: watch::Sender<()>,
}

/// `Ok`: allowed; `Err`: why there is no opinion.
type Opinion = Result<(), String>;

impl NodeAuthorizer {
    pub fn new(objects: Arc<dyn Objects>, system_node_rules: &[Value]) -> Arc<Self> {
        let rules = system_node_rules.iter().map(Rule::from_value).collect();
        let (running, changes) = (AtomicBool::new(false), watch::Sender::new(()));
        Arc::new(Self { objects, rules, index: RwLock::default(), running, changes })
    }

    /// Follows the pods until told to stop. While it does not run, decisions read all pods of the cache: right, but slow.
    pub async fn run(self: Arc<Self>, stop: Shutdown) -> Result<(), Infallible> {
        let mut events = self.objects.subscribe(&PODS);
        self.running.store(true, Ordering::Release);
        while let Some(Some(event)) = stop.or(events.recv()).await {
            self.index.write().apply(&event);
            self.changes.send_replace(());
        }
        self.running.store(false, Ordering::Release);
        self.index.write().apply(&ObjectEvent::Reset);
        stop.wait().await;
        Ok(())
    }

    /// [`decide`](Self::decide), once more for each change of the index where a relationship was missing.
    async fn decide_patiently(&self, node: &str, asked: &Attributes) -> Opinion {
        let mut changes = self.changes.subscribe();
        let first = self.decide(node, asked);
        if !self.running.load(Ordering::Acquire) || first != Err(unrelated(node)) {
            return first;
        }
        let again = async {
            while changes.changed().await.is_ok() {
                if self.decide(node, asked).is_ok() {
                    return Ok(());
                }
            }
            Err(unrelated(node))
        };
        tokio::time::timeout(INDEX_LAG, again).await.unwrap_or(first)
    }

    fn decide(&self, node: &str, asked: &Attributes) -> Opinion {
        if !asked.resource_request {
            return self.by_rules(asked);
        }
        match (asked.group.as_str(), asked.resource.as_str()) {
            ("", "secrets") => self.read(node, ReferenceKind::Secret, asked),
            ("", "configmaps") => self.read(node, ReferenceKind::ConfigMap, asked),
            ("", "persistentvolumeclaims") if asked.subresource == "status" => match asked.verb.as_str() {
                "update" | "patch" => self.referred(node, ReferenceKind::PersistentVolumeClaim, asked),
                _ => no("can only get/update/patch this type"),
            },
            ("", "persistentvolumeclaims") => {
                only_get(asked)?;
                self.referred(node, ReferenceKind::PersistentVolumeClaim, asked)
            }
            ("", "persistentvolumes") => {
                only_get(asked)?;
                self.persistent_volume(node, asked)
            }
            ("resource.k8s.io", "resourceclaims") => {
                only_get(asked)?;
                self.referred(node, ReferenceKind::ResourceClaim, asked)
            }
            ("storage.k8s.io", "volumeattachments") => {
                only_get(asked)?;
                let attachment = self.objects.get(&VOLUME_ATTACHMENTS, "", &asked.name);
                let own = attachment.is_some_and(|a| text(&a, &["spec", "nodeName"]) == node);
                own.then_some(()).ok_or_else(|| unrelated(node))
            }
            ("", "serviceaccounts") => self.service_account(node, asked),
            ("coordination.k8s.io", "leases") => lease(node, asked),
            ("storage.k8s.io", "csinodes") => csi_node(node, asked),
            ("resource.k8s.io", "resourceslices") => self.resource_slice(node, asked),
            ("", "nodes") => own_node(node, asked),
            ("", "pods") => self.pod(node, asked),
            _ => self.by_rules(asked),
        }
    }

    fn by_rules(&self, asked: &Attributes) -> Opinion {
        if self.rules.iter().any(|rule| rule.allows(asked)) { Ok(()) } else { no("") }
    }

    fn read(&self, node: &str, kind: ReferenceKind, asked: &Attributes) -> Opinion {
        if !matches!(asked.verb.as_str(), "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if !asked.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if asked.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.referred(node, kind, asked)
    }

    fn service_account(&self, node: &str, asked: &Attributes) -> Opinion {
        match (asked.verb.as_str(), asked.subresource.as_str()) {
            ("create", "token") if !asked.name.is_empty() => {
                self.referred(node, ReferenceKind::ServiceAccount, asked)
            }
            ("get", "") => self.referred(node, ReferenceKind::ServiceAccount, asked),
            ("create", "token") => no("can only create tokens for individual service accounts"),
            ("create", _) => no("can only create token subresource of serviceaccount"),
            _ => no("can only create tokens for individual service accounts"),
        }
    }

    fn pod(&self, node: &str, asked: &Attributes) -> Opinion {
        match (asked.subresource.as_str(), asked.verb.as_str()) {
            ("", "get") => self.own_pod(node, asked),
            ("", "list" | "watch") if selects(asked, "spec.nodeName", node) => Ok(()),
            ("", "list" | "watch") if !asked.name.is_empty() => self.own_pod(node, asked),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            // NodeRestriction keeps these to mirror pods of the node, and to pods bound to it.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => no(""),
        }
    }

    fn own_pod(&self, node: &str, asked: &Attributes) -> Opinion {
        if asked.name.is_empty() {
            return no("No Object name found");
        }
        if self.index.read().has(node, &asked.namespace, &asked.name) {
            return Ok(());
        }
        let pod = self.objects.get(&PODS, &asked.namespace, &asked.name);
        let own = pod.is_some_and(|pod| text(&pod, &["spec", "nodeName"]) == node);
        own.then_some(()).ok_or_else(|| unrelated(node))
    }

    fn resource_slice(&self, node: &str, asked: &Attributes) -> Opinion {
        if !asked.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match asked.verb.as_str() {
            // NodeRestriction looks at the new slice's node.
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => {
                let slice = self.objects.get(&RESOURCE_SLICES, "", &asked.name);
                let own = slice.is_some_and(|slice| text(&slice, &["spec", "nodeName"]) == node);
                own.then_some(()).ok_or_else(|| unrelated(node))
            }
            "watch" | "list" | "deletecollection" if selects(asked, "spec.nodeName", node) => Ok(()),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, \
                     patch, delete, deletecollection",
            ),
        }
    }

    /// A pod of the node refers to the object, or (secrets) a volume that is claimed by one.
    fn referred(&self, node: &str, kind: ReferenceKind, asked: &Attributes) -> Opinion {
        if asked.name.is_empty() {
            return no("No Object name found");
        }
        // The secret of a volume may be in another namespace than the pod.
        let in_namespace = if kind == ReferenceKind::Secret { "" } else { &asked.namespace };
        let found = self.any_pod(node, in_namespace, &|pod_namespace, refs| {
            let direct = pod_namespace == asked.namespace
                && refs.iter().any(|(k, n)| *k == kind && **n == *asked.name);
            direct
                || kind == ReferenceKind::Secret
                    && self.volumes(pod_namespace, refs).any(|volume| {
                        volume_secrets(&volume).contains(&(asked.namespace.as_str(), asked.name.as_str()))
                    })
        });
        found.then_some(()).ok_or_else(|| unrelated(node))
    }

    fn persistent_volume(&self, node: &str, asked: &Attributes) -> Opinion {
        let found = self.any_pod(node, "", &|pod_namespace, refs| {
            self.volumes(pod_namespace, refs).any(|volume| crate::value::name(&volume) == asked.name)
        });
        found.then_some(()).ok_or_else(|| unrelated(node))
    }

    /// The persistent volumes bound to a pod's claims.
    fn volumes<'a>(
        &'a self,
        pod_namespace: &'a str,
        refs: &'a [Reference],
    ) -> impl Iterator<Item = Arc<Value>> + 'a {
        let claims = refs.iter().filter(|(kind, _)| *kind == ReferenceKind::PersistentVolumeClaim);
        claims.filter_map(move |(_, claim)| {
            let claim = self.objects.get(&PERSISTENT_VOLUME_CLAIMS, pod_namespace, claim)?;
            self.objects.get(&PERSISTENT_VOLUMES, "", text(&claim, &["spec", "volumeName"]))
        })
    }

    /// Whether any pod of the node fits.
    fn any_pod(&self, node: &str, in_namespace: &str, fits: &dyn Fn(&str, &[Reference]) -> bool) -> bool {
        if self.running.load(Ordering::Acquire) {
            return self.index.read().pods_of(node).any(|(namespace, refs)| fits(namespace, refs));
        }
        let pods = self.objects.list(&PODS, in_namespace);
        pods.iter()
            .filter(|pod| text(pod, &["spec", "nodeName"]) == node)
            .any(|pod| fits(namespace(pod), &granting_references(pod)))
    }
}

#[async_trait]
impl Authorizer for NodeAuthorizer {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        match node_identity(&attributes.user) {
            None => Decision::NoOpinion(String::new()),
            Some("") => Decision::NoOpinion(format!("unknown node for user {:?}", attributes.user.name)),
            Some(node) => match self.decide_patiently(node, attributes).await {
                Ok(()) => Decision::Allow(String::new()),
                Err(reason) => Decision::NoOpinion(reason),
            },
        }
    }

    async fn rules_for(&self, user: &User, _namespace: &str) -> Rules {
        if node_identity(user).is_none() {
            return Rules::default();
        }
        Rules {
            incomplete: true,
            evaluation_error: "node authorizer does not support user rule resolution".into(),
            ..Rules::default()
        }
    }
}

fn no(reason: &str) -> Opinion {
    Err(reason.to_string())
}

fn unrelated(node: &str) -> String {
    format!("no relationship found between node '{node}' and this object")
}

fn only_get(asked: &Attributes) -> Opinion {
    if asked.verb != "get" {
        return no("can only get individual resources of this type");
    }
    if asked.subresource.is_empty() { Ok(()) } else { no("cannot get subresource") }
}

fn selects(asked: &Attributes, field: &str, value: &str) -> bool {
    asked.field_selector.as_ref().is_some_and(|selector| selector.required(field) == Some(value))
}

fn lease(node: &str, asked: &Attributes) -> Opinion {
    if !matches!(asked.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != LEASE_NAMESPACE {
        return no(&format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"));
    }
    // The name of a new lease is in its body: NodeRestriction looks there.
    if asked.verb != "create" && asked.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn csi_node(node: &str, asked: &Attributes) -> Opinion {
    if !matches!(asked.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !asked.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if asked.verb != "create" && asked.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    Ok(())
}

fn own_node(node: &str, asked: &Attributes) -> Opinion {
    match (asked.subresource.as_str(), asked.verb.as_str()) {
        // NodeRestriction keeps writes to the node itself.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => match asked.name.as_str() {
            name if name == node => Ok(()),
            "" => Err(format!("node '{node}' cannot read all nodes, only its own Node object")),
            name => Err(format!("node '{node}' cannot read '{name}', only its own Node object")),
        },
        _ => no(""),
    }
}

#[cfg(test)]
mod tests;
