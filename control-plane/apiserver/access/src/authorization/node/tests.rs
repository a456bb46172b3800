use oarlock_api::selector::FieldSelector;
use serde_json::json;

use super::*;
use crate::testing::{FakeObjects, ask, ask_path, node_user, object, pod, user};

fn cluster() -> Arc<FakeObjects> {
    let mut mirror =
        pod("mirror", "n1", json!({"volumes": [{"name": "v", "secret": {"secretName": "stolen"}}]}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    let spec = json!({
        "serviceAccountName": "bot",
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "cm-env"}}]}],
        "containers": [{"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s-env", "key": "k"}}}]}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "s-vol"}},
            {"name": "b", "projected": {"sources": [{"configMap": {"name": "cm-proj"}}]}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "d", "ephemeral": {}},
        ],
    });
    let mut claim = object("default", "claim", "");
    claim["spec"] = json!({"volumeName": "pv"});
    let mut volume = object("", "pv", "");
    volume["spec"] = json!({
        "claimRef": {"namespace": "default", "name": "claim"},
        "csi": {"driver": "d", "nodePublishSecretRef": {"namespace": "storage", "name": "s-pv"}},
    });
    let mut attachment = object("", "va", "");
    attachment["spec"] = json!({"nodeName": "n1"});
    FakeObjects::with(&[
        (&PODS, pod("web", "n1", spec)),
        (&PODS, pod("other", "n2", json!({"volumes": [{"name": "a", "secret": {"secretName": "s-other"}}]}))),
        (&PODS, mirror),
        (&PERSISTENT_VOLUME_CLAIMS, claim),
        (&PERSISTENT_VOLUMES, volume),
        (&VOLUME_ATTACHMENTS, attachment),
    ])
}

fn authorizer(objects: Arc<FakeObjects>) -> Arc<NodeAuthorizer> {
    NodeAuthorizer::new(
        objects,
        &[json!({"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["services"]})],
    )
}

fn cases() -> Vec<(&'static str, Attributes, bool)> {
    let node = node_user("n1");
    let a =
        |verb: &str, resource: &str, namespace: &str, name: &str| ask(&node, verb, resource, namespace, name);
    let selecting = |resource: &str, value: &str| Attributes {
        field_selector: Some(Arc::new(FieldSelector::equals("spec.nodeName", value))),
        ..a("list", resource, "", "")
    };
    vec![
        ("secret of a volume", a("get", "secrets", "default", "s-vol"), true),
        ("secret of an environment", a("watch", "secrets", "default", "s-env"), true),
        ("pull secret", a("get", "secrets", "default", "pull"), true),
        ("secret of a persistent volume", a("get", "secrets", "storage", "s-pv"), true),
        ("secret of another node's pod", a("get", "secrets", "default", "s-other"), false),
        ("secret through a mirror pod", a("get", "secrets", "default", "stolen"), false),
        ("secret of another namespace", a("get", "secrets", "kube-system", "s-vol"), false),
        ("writing a secret", a("update", "secrets", "default", "s-vol"), false),
        ("listing secrets", a("list", "secrets", "default", ""), false),
        ("config map of an init container", a("get", "configmaps", "default", "cm-env"), true),
        ("config map of a projection", a("list", "configmaps", "default", "cm-proj"), true),
        ("claim", a("get", "persistentvolumeclaims", "default", "claim"), true),
        ("claim of an ephemeral volume", a("get", "persistentvolumeclaims", "default", "web-d"), true),
        ("claim's status", a("patch", "persistentvolumeclaims/status", "default", "claim"), true),
        ("volume", a("get", "persistentvolumes", "", "pv"), true),
        ("another volume", a("get", "persistentvolumes", "", "pw"), false),
        ("attachment", a("get", "storage.k8s.io:volumeattachments", "", "va"), true),
        ("token of a pod's account", a("create", "serviceaccounts/token", "default", "bot"), true),
        ("token of another account", a("create", "serviceaccounts/token", "default", "admin"), false),
        ("own node", a("get", "nodes", "", "n1"), true),
        ("another node", a("get", "nodes", "", "n2"), false),
        ("all nodes", a("list", "nodes", "", ""), false),
        ("own status", a("patch", "nodes/status", "", "n1"), true),
        ("deleting nodes", a("delete", "nodes", "", "n1"), false),
        ("own lease", a("update", "coordination.k8s.io:leases", "kube-node-lease", "n1"), true),
        ("another lease", a("update", "coordination.k8s.io:leases", "kube-node-lease", "n2"), false),
        ("a lease elsewhere", a("get", "coordination.k8s.io:leases", "kube-system", "n1"), false),
        ("own CSINode", a("patch", "storage.k8s.io:csinodes", "", "n1"), true),
        ("own pod", a("get", "pods", "default", "web"), true),
        ("another node's pod", a("get", "pods", "default", "other"), false),
        ("own pods", selecting("pods", "n1"), true),
        ("another node's pods", selecting("pods", "n2"), false),
        ("all pods", a("list", "pods", "", ""), false),
        ("own slices", selecting("resource.k8s.io:resourceslices", "n1"), true),
        ("mirror pods", a("create", "pods", "default", ""), true),
        ("eviction", a("create", "pods/eviction", "default", "web"), true),
        ("exec", a("create", "pods/exec", "default", "web"), false),
        ("by the common rules", a("list", "services", "", ""), true),
        ("beyond them", a("list", "apps:deployments", "", ""), false),
        ("a path", ask_path(&node, "get", "/metrics"), false),
        ("not a node", ask(&user("system:node:n1", &[]), "get", "nodes", "", "n1"), false),
    ]
}

async fn check(authorizer: &NodeAuthorizer, how: &str) {
    for (what, asked, allowed) in cases() {
        let decision = authorizer.authorize(&asked).await;
        assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{what} {how}: {decision:?}");
    }
}

#[tokio::test]
async fn a_node_reaches_what_its_pods_name() {
    let authorizer = authorizer(cluster());
    check(&authorizer, "from the cache").await;
    let stop = Shutdown::new();
    let running = authorizer.clone().run(stop.clone());
    let checks = async {
        check(&authorizer, "from the index").await;
        stop.trigger();
    };
    let _ = tokio::join!(running, checks);
    check(&authorizer, "from the cache again").await;
}

#[tokio::test]
async fn a_pod_that_is_about_to_be_known_is_waited_for() {
    let objects = cluster();
    let authorizer = authorizer(objects.clone());
    let stop = Shutdown::new();
    let checks = async {
        tokio::task::yield_now().await;
        let node = node_user("n1");
        let asked = ask(&node, "get", "secrets", "default", "s-late");
        let late = async {
            tokio::task::yield_now().await;
            let spec = json!({"volumes": [{"name": "v", "secret": {"secretName": "s-late"}}]});
            objects.put(&PODS, pod("late", "n1", spec));
        };
        let (decision, ()) = tokio::join!(authorizer.authorize(&asked), late);
        stop.trigger();
        decision
    };
    let (_, decision) = tokio::join!(authorizer.clone().run(stop.clone()), checks);
    assert_eq!(decision, Decision::Allow(String::new()));
}

#[tokio::test]
async fn refusals_say_why() {
    let authorizer = authorizer(cluster());
    let asked = ask(&node_user("n1"), "get", "secrets", "default", "s-other");
    let want = "no relationship found between node 'n1' and this object";
    assert_eq!(authorizer.authorize(&asked).await, Decision::NoOpinion(want.into()));
}

#[test]
fn the_index_follows_pods() {
    let mut index = NodeIndex::default();
    let secret = |name: &str| json!({"volumes": [{"name": "v", "secret": {"secretName": name}}]});
    let count =
        |index: &NodeIndex, node: &str| index.pods_of(node).map(|(_, refs)| refs.len()).sum::<usize>();
    index.apply(&ObjectEvent::Applied(Arc::new(pod("a", "", secret("s")))));
    assert_eq!(count(&index, ""), 0, "not placed yet");
    let placed = Arc::new(pod("a", "n1", secret("s")));
    index.apply(&ObjectEvent::Applied(placed.clone()));
    index.apply(&ObjectEvent::Applied(Arc::new(pod("b", "n1", secret("t")))));
    assert_eq!(count(&index, "n1"), 2);
    index.apply(&ObjectEvent::Deleted(placed));
    assert_eq!(count(&index, "n1"), 1);
    index.apply(&ObjectEvent::Reset);
    assert_eq!(count(&index, "n1"), 0);
}
