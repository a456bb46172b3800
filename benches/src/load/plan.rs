//! The rounds and their requests.

use bytes::Bytes;
use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};

use super::Shape;

/// The content of an object, about 1 KiB.
const PAYLOAD_BYTES: usize = 1024;
/// Every object of this distance has the label that a list asks for.
const LABELLED: u32 = 10;

/// One kind of request, made many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verb {
    Create,
    Get,
    List,
    /// The tenth of all that has a label.
    ListByLabel,
    Patch,
    /// Patches that watchers see.
    Watch,
    Update,
    /// Server-side apply of the whole object, forced: its fields change hands.
    Apply,
    Delete,
}

pub(super) const ROUNDS: [Verb; 9] = [
    Verb::Create,
    Verb::Get,
    Verb::List,
    Verb::ListByLabel,
    Verb::Patch,
    Verb::Watch,
    Verb::Update,
    Verb::Apply,
    Verb::Delete,
];

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A request before it is one.
pub(super) struct Wanted {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
}

impl Wanted {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, kind: JSON, body: Bytes::new() }
    }

    pub(super) fn post(path: String, object: &Value) -> Self {
        Self { method: Method::POST, path, kind: JSON, body: object.to_string().into() }
    }
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::ListByLabel => "list by label",
            Self::Patch => "patch",
            Self::Watch => "patch, watched",
            Self::Update => "update",
            Self::Apply => "apply",
            Self::Delete => "delete",
        }
    }

    pub(super) fn count(self, shape: &Shape) -> u32 {
        let wanted = shape.rounds.is_empty() || self == Self::Create || shape.rounds.contains(&self);
        match self {
            _ if !wanted => 0,
            Self::List => shape.lists,
            Self::ListByLabel => shape.lists * LABELLED,
            Self::Watch if shape.watchers == 0 => 0,
            Self::Watch => shape.objects.min(shape.watched),
            _ => shape.objects,
        }
    }

    /// The request of this number in its round.
    pub(super) fn wanted(self, namespace: &str, at: u32) -> Wanted {
        let all = configmaps(namespace);
        let one = format!("{all}/load-{at}");
        let (method, path, kind, body) = match self {
            Self::Create => (Method::POST, all, JSON, object(at, "created")),
            Self::Get => (Method::GET, one, JSON, Bytes::new()),
            Self::List => (Method::GET, all, JSON, Bytes::new()),
            Self::ListByLabel => {
                (Method::GET, format!("{all}?labelSelector=load%3Dtenth"), JSON, Bytes::new())
            }
            Self::Patch => (Method::PATCH, one, MERGE, change("patched")),
            Self::Watch => (Method::PATCH, one, MERGE, change("watched")),
            Self::Update => (Method::PUT, one, JSON, object(at, "updated")),
            Self::Apply => {
                let path = format!("{one}?fieldManager=load&force=true");
                (Method::PATCH, path, APPLY, object(at, "applied"))
            }
            Self::Delete => (Method::DELETE, one, JSON, Bytes::new()),
        };
        Wanted { method, path, kind, body }
    }
}

pub(super) fn configmaps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

fn object(at: u32, state: &str) -> Bytes {
    let text = "x".repeat(PAYLOAD_BYTES);
    let mut object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("load-{at}")}, "data": {"text": text, "state": state},
    });
    if at.is_multiple_of(LABELLED) {
        object["metadata"]["labels"] = json!({"load": "tenth"});
    }
    object.to_string().into()
}

fn change(state: &str) -> Bytes {
    json!({"data": {"state": state}}).to_string().into()
}

/// A pod as a Deployment would make it; nobody runs it.
pub(super) fn pod(namespace: &str, at: u32) -> Wanted {
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10});
    let container = json!({
        "name": "main", "image": "registry.example/team/app:1.2.3",
        "env": [{"name": "MODE", "value": "production"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "livenessProbe": probe, "readinessProbe": probe,
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("load-{at}"), "labels": {"app": "load", "tier": "web"}},
        "spec": {"schedulerName": "nobody", "automountServiceAccountToken": false, "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": "load-0"}}]},
    });
    Wanted::post(format!("/api/v1/namespaces/{namespace}/pods"), &pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_to_their_objects() {
        for (verb, method, path) in [
            (Verb::Create, "POST", "/api/v1/namespaces/n/configmaps"),
            (Verb::Get, "GET", "/api/v1/namespaces/n/configmaps/load-7"),
            (Verb::List, "GET", "/api/v1/namespaces/n/configmaps"),
            (Verb::ListByLabel, "GET", "/api/v1/namespaces/n/configmaps?labelSelector=load%3Dtenth"),
            (Verb::Watch, "PATCH", "/api/v1/namespaces/n/configmaps/load-7"),
            (Verb::Update, "PUT", "/api/v1/namespaces/n/configmaps/load-7"),
            (Verb::Apply, "PATCH", "/api/v1/namespaces/n/configmaps/load-7?fieldManager=load&force=true"),
            (Verb::Delete, "DELETE", "/api/v1/namespaces/n/configmaps/load-7"),
        ] {
            let wanted = verb.wanted("n", 7);
            assert_eq!((wanted.method.as_str(), wanted.path.as_str()), (method, path), "{verb:?}");
        }
    }

    #[test]
    fn a_tenth_is_labelled() {
        let labelled = |at| String::from_utf8(object(at, "x").to_vec()).unwrap().contains("tenth");
        assert_eq!((0..100).filter(|at| labelled(*at)).count(), 10);
    }
}
