use oarlock_api::{GroupVersionKind, GroupVersionResource};
use serde_json::{Value, json};

use super::*;
use crate::resources::{NAMESPACES, NODES, PODS, PRIORITY_CLASSES, SERVICE_ACCOUNTS};
use crate::testing::{FakeObjects, Fixed, node_user, object, pod, user};
use crate::types::{Annotations, User};

/// A request under construction: the defaults are jane creating a pod in `default`.
pub(super) struct Ask {
    operation: Operation,
    resource: GroupVersionResource,
    subresource: &'static str,
    namespace: &'static str,
    name: &'static str,
    user: User,
    object: Option<Value>,
    old: Option<Value>,
    dry_run: bool,
}

pub(super) fn create(group: &str, resource: &str, object: Value) -> Ask {
    Ask {
        operation: Operation::Create,
        resource: GroupVersionResource::new(group, "v1", resource),
        subresource: "",
        namespace: "default",
        name: "",
        user: user("jane", &[]),
        object: Some(object),
        old: None,
        dry_run: false,
    }
}

pub(super) fn create_pod(spec: Value) -> Ask {
    create("", "pods", pod("web", "", spec))
}

impl Ask {
    pub(super) fn update(mut self, old: Value) -> Self {
        self.operation = Operation::Update;
        self.old = Some(old);
        self
    }

    pub(super) fn delete(mut self, name: &'static str) -> Self {
        (self.operation, self.name, self.object) = (Operation::Delete, name, None);
        self
    }

    pub(super) fn namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = namespace;
        self
    }

    pub(super) fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(super) fn sub(mut self, subresource: &'static str) -> Self {
        self.subresource = subresource;
        self
    }

    pub(super) fn node(mut self, node: &str) -> Self {
        self.user = node_user(node);
        self
    }

    /// Through one plugin, both halves: the object as it comes out, or the refusal.
    pub(super) async fn through(self, plugin: impl AdmissionPlugin + 'static) -> Result<Value, Status> {
        self.through_shared(Arc::new(plugin)).await
    }

    pub(super) async fn through_shared(self, plugin: Arc<dyn AdmissionPlugin>) -> Result<Value, Status> {
        self.telling(plugin).await.0
    }

    pub(super) fn by(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    pub(super) fn dry(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// With the warnings and the audit annotations.
    pub(super) async fn telling(
        mut self,
        plugin: Arc<dyn AdmissionPlugin>,
    ) -> (Result<Value, Status>, Vec<String>, std::collections::BTreeMap<String, String>) {
        let chain = AdmissionChain::new(vec![plugin]);
        let kind = GroupVersionKind::new("", "v1", "Kind");
        let (mut warnings, annotations) = (Vec::new(), Annotations::default());
        let mut request = AdmissionRequest {
            operation: self.operation,
            kind: &kind,
            resource: &self.resource,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            user: &Arc::new(self.user.clone()),
            object: self.object.as_mut(),
            old_object: self.old.as_ref(),
            options: &Value::Null,
            dry_run: self.dry_run,
            warnings: &mut warnings,
            annotations: &annotations,
        };
        let mut result = chain.mutate(&mut request).await;
        if result.is_ok() {
            result = chain.validate(&request).await;
        }
        warnings.extend(annotations.take_warnings());
        (result.map(|()| self.object.unwrap_or_default()), warnings, annotations.all())
    }
}

pub(super) fn told(result: Result<Value, Status>) -> Result<(), (u16, String)> {
    result.map(|_| ()).map_err(|status| (status.code, status.message))
}

pub(super) fn no(code: u16, message: &str) -> Result<(), (u16, String)> {
    Err((code, message.to_string()))
}

#[tokio::test]
async fn namespace_lifecycle() {
    let mut going = object("", "going", "");
    going["status"] = json!({"phase": "Terminating"});
    let objects = FakeObjects::with(&[(&NAMESPACES, object("", "default", "")), (&NAMESPACES, going)]);
    objects.hide(&NAMESPACES, object("", "young", ""));
    let terminating = "pods \"web\" is forbidden: unable to create new content in namespace going because it is being \
                       terminated";
    let new = || create_pod(json!({}));
    let namespace = || create("", "namespaces", object("", "x", "")).namespace("");
    let cases = [
        ("there", new(), Ok(())),
        ("not cached yet", new().namespace("young"), Ok(())),
        ("missing", new().namespace("lost"), no(404, "namespaces \"lost\" not found")),
        ("terminating", new().namespace("going"), no(403, terminating)),
        ("updates go on", new().namespace("going").update(json!({})), Ok(())),
        ("deletes go on", new().namespace("lost").delete("web"), Ok(())),
        ("cluster scope", create("", "nodes", object("", "n", "")).namespace(""), Ok(())),
        ("a namespace", namespace(), Ok(())),
        (
            "an immortal one",
            namespace().delete("kube-system").namespace("kube-system"),
            no(403, "namespaces \"kube-system\" is forbidden: this namespace may not be deleted"),
        ),
        ("a mortal one", namespace().delete("x").namespace("x"), Ok(())),
        (
            "reviews tell nothing",
            create("authorization.k8s.io", "localsubjectaccessreviews", json!({})).namespace("lost"),
            Ok(()),
        ),
    ];
    for (what, ask, want) in cases {
        assert_eq!(told(ask.through(NamespaceLifecycle::new(objects.clone())).await), want, "{what}");
    }
    let refused =
        new().namespace("going").through(NamespaceLifecycle::new(objects)).await.expect_err("terminating");
    let cause = &refused.details.expect("a 403 has details").causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.message.as_str(), cause.field.as_str()),
        ("NamespaceTerminating", "namespace going is being terminated", "metadata.namespace")
    );
}

#[tokio::test]
async fn a_namespace_just_deleted_is_not_believed_to_be_active() {
    let objects = FakeObjects::with(&[(&NAMESPACES, object("", "x", ""))]);
    let mut going = object("", "x", "");
    going["status"] = json!({"phase": "Terminating"});
    objects.hide(&NAMESPACES, going);
    let plugin = Arc::new(NamespaceLifecycle::new(objects));
    let delete = create("", "namespaces", json!({})).namespace("x").delete("x");
    let new = || create_pod(json!({})).namespace("x");
    assert!(new().through_shared(plugin.clone()).await.is_ok(), "the cache is believed");
    assert!(delete.through_shared(plugin.clone()).await.is_ok());
    assert_eq!(new().through_shared(plugin).await.expect_err("it is going").code, 403);
}

fn accounts() -> Arc<FakeObjects> {
    let mut quiet = object("default", "quiet", "");
    quiet["automountServiceAccountToken"] = false.into();
    quiet["imagePullSecrets"] = json!([{"name": "pull"}]);
    let mut strict = object("default", "strict", "");
    strict["metadata"]["annotations"] = json!({"kubernetes.io/enforce-mountable-secrets": "true"});
    FakeObjects::with(&[
        (&SERVICE_ACCOUNTS, object("default", "default", "")),
        (&SERVICE_ACCOUNTS, quiet),
        (&SERVICE_ACCOUNTS, strict),
    ])
}

#[tokio::test]
async fn service_account_mounts_a_token() {
    let spec = json!({"initContainers": [{"name": "i"}], "containers": [
        {"name": "a"},
        {"name": "b", "volumeMounts": [{"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]},
    ]});
    let pod = create_pod(spec).through(ServiceAccount::new(accounts())).await.expect("admitted");
    let spec = &pod["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    let volume = spec["volumes"][0]["name"].as_str().expect("a volume").to_string();
    assert!(
        volume.starts_with("kube-api-access-") && volume.len() == "kube-api-access-".len() + 5,
        "{volume}"
    );
    let mount = json!([{"name": volume, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
    assert_eq!(spec["initContainers"][0]["volumeMounts"], mount);
    assert_eq!(spec["containers"][0]["volumeMounts"], mount);
    assert_eq!(spec["containers"][1]["volumeMounts"][0]["name"], "own");
    assert_eq!(
        spec["volumes"],
        json!([{"name": volume, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
            {"downwardAPI": {"items": [
                {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace"},
            ]}},
        ]}}])
    );
}

#[tokio::test]
async fn service_account_heeds_what_is_asked() {
    let through = async |spec: Value| {
        create_pod(spec).through(ServiceAccount::new(accounts())).await.expect("admitted")["spec"].clone()
    };
    let containers = json!([{"name": "a"}]);
    let quiet = through(json!({"serviceAccount": "quiet", "containers": containers})).await;
    assert_eq!(quiet["volumes"], Value::Null, "the account does not want it");
    assert_eq!(quiet["imagePullSecrets"], json!([{"name": "pull"}]));
    let loud = through(
        json!({"serviceAccountName": "quiet", "automountServiceAccountToken": true, "containers": containers,
               "imagePullSecrets": [{"name": "mine"}]}),
    )
    .await;
    assert_eq!(loud["volumes"].as_array().map(Vec::len), Some(1), "the pod wants it");
    assert_eq!(loud["imagePullSecrets"], json!([{"name": "mine"}]));
    let given = json!([{"name": "kube-api-access-mine1", "projected": {}}]);
    let reused = through(json!({"containers": containers, "volumes": given})).await;
    assert_eq!(reused["volumes"], given);
    assert_eq!(reused["containers"][0]["volumeMounts"][0]["name"], "kube-api-access-mine1");
}

#[tokio::test]
async fn service_account_refusals() {
    let mirror = |spec: Value| {
        let mut pod = pod("web", "n1", spec);
        pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        create("", "pods", pod)
    };
    let forbidden = |why: &str| no(403, &format!("pods \"web\" is forbidden: {why}"));
    let secret =
        json!({"serviceAccountName": "strict", "volumes": [{"name": "v", "secret": {"secretName": "s"}}]});
    let cases = [
        (
            "missing",
            create_pod(json!({"serviceAccountName": "ghost"})),
            forbidden("error looking up service account default/ghost: serviceaccount \"ghost\" not found"),
        ),
        (
            "strict",
            create_pod(secret),
            forbidden(
                "volume with secret.secretName=\"s\" is not allowed because service account strict does not reference \
                 that secret",
            ),
        ),
        ("plain mirror pod", mirror(json!({"containers": [{"name": "a"}]})), Ok(())),
        (
            "mirror pod with an account",
            mirror(json!({"serviceAccountName": "default"})),
            forbidden("a mirror pod may not reference service accounts"),
        ),
        (
            "mirror pod with a secret",
            mirror(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]})),
            forbidden("a mirror pod may not reference secrets"),
        ),
        (
            "mirror pod with a token",
            mirror(
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
            ),
            forbidden("a mirror pod may not use ServiceAccountToken volume projections"),
        ),
    ];
    for (what, ask, want) in cases {
        assert_eq!(told(ask.through(ServiceAccount::new(accounts())).await), want, "{what}");
    }
}

#[tokio::test]
async fn service_account_waits_for_the_default_account_of_a_new_namespace() {
    let objects = FakeObjects::with(&[]);
    let admit = create_pod(json!({"containers": []})).through(ServiceAccount::new(objects.clone()));
    let appear = async {
        tokio::task::yield_now().await;
        objects.put(&SERVICE_ACCOUNTS, object("default", "default", ""));
    };
    let (admitted, ()) = tokio::join!(admit, appear);
    assert!(admitted.is_ok(), "{admitted:?}");
}

#[tokio::test]
async fn default_tolerations() {
    let toleration = |key: &str| json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    let (not_ready, unreachable) = (toleration("not-ready"), toleration("unreachable"));
    let own = json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 5});
    let all = json!({"operator": "Exists"});
    let elsewhere =
        json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"});
    let cases = [
        ("none", json!([]), json!([not_ready, unreachable])),
        ("one's own", json!([own]), json!([own, unreachable])),
        ("everything", json!([all]), json!([all])),
        ("another effect", json!([elsewhere]), json!([elsewhere, not_ready, unreachable])),
    ];
    for (what, given, want) in cases {
        let pod = create_pod(json!({"tolerations": given}))
            .through(DefaultTolerationSeconds::default())
            .await
            .expect("admitted");
        assert_eq!(pod["spec"]["tolerations"], want, "{what}");
    }
}

#[tokio::test]
async fn new_nodes_are_tainted() {
    let node =
        create("", "nodes", object("", "n1", "")).through(TaintNodesByCondition).await.expect("admitted");
    let want = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
    assert_eq!(node["spec"]["taints"], want);
    let again = create("", "nodes", node.clone()).through(TaintNodesByCondition).await.expect("admitted");
    assert_eq!(again, node, "once");
}

fn class(name: &str, value: i64, default: bool) -> Value {
    let mut class = object("", name, "");
    class["value"] = value.into();
    class["globalDefault"] = default.into();
    class["preemptionPolicy"] = "PreemptLowerPriority".into();
    class
}

#[tokio::test]
async fn priorities() {
    let mut polite = class("polite", 5, false);
    polite["preemptionPolicy"] = "Never".into();
    let with_default = FakeObjects::with(&[
        (&PRIORITY_CLASSES, class("high", 1000, false)),
        (&PRIORITY_CLASSES, polite),
        (&PRIORITY_CLASSES, class("usual", 7, true)),
    ]);
    let without = FakeObjects::with(&[(&PRIORITY_CLASSES, class("high", 1000, false))]);
    let resolved = async |objects: &Arc<FakeObjects>, spec: Value| {
        let pod = create_pod(spec).through(Priority::new(objects.clone())).await.map_err(|s| s.message)?;
        let spec = &pod["spec"];
        Ok::<_, String>(json!([spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]]))
    };
    assert_eq!(resolved(&without, json!({})).await, Ok(json!([null, 0, "PreemptLowerPriority"])));
    assert_eq!(resolved(&with_default, json!({})).await, Ok(json!(["usual", 7, "PreemptLowerPriority"])));
    let high = json!({"priorityClassName": "high"});
    assert_eq!(resolved(&with_default, high).await, Ok(json!(["high", 1000, "PreemptLowerPriority"])));
    let polite = json!({"priorityClassName": "polite", "priority": 5});
    assert_eq!(resolved(&with_default, polite).await, Ok(json!(["polite", 5, "Never"])));
    let refused = [
        (json!({"priorityClassName": "x"}), "no PriorityClass with name x was found"),
        (
            json!({"priority": 3}),
            "the integer value of priority (3) must not be provided in pod spec; priority admission controller \
             computed 0 from the given PriorityClass name",
        ),
        (
            json!({"preemptionPolicy": "Never"}),
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission \
             controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
    ];
    for (spec, why) in refused {
        assert_eq!(resolved(&without, spec).await, Err(format!("pods \"web\" is forbidden: {why}")));
    }
    let second = |name| create("scheduling.k8s.io", "priorityclasses", class(name, 1, true)).namespace("");
    let only_one = "priorityclasses.scheduling.k8s.io \"new\" is forbidden: PriorityClass usual is already marked as \
                    default. Only one default can exist";
    let through = async |ask: Ask| told(ask.through(Priority::new(with_default.clone())).await);
    assert_eq!(through(second("new")).await, no(403, only_one));
    assert_eq!(through(second("new").update(json!({}))).await, no(403, only_one));
    assert_eq!(through(second("usual").update(json!({}))).await, Ok(()));
}

fn mirror(owner: Value) -> Value {
    let mut pod = pod("static-n1", "n1", json!({"containers": [{"name": "a"}]}));
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    pod["metadata"]["ownerReferences"] = owner;
    pod
}

fn node_object(labels: Value) -> Value {
    let mut node = object("", "n1", "node-1");
    node["metadata"]["labels"] = labels;
    node
}

fn token_request(pod: &str, uid: &str, audience: &str) -> Value {
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid});
    json!({"spec": {"boundObjectRef": reference, "audiences": [audience]}})
}

/// What is asked by node n1, and why not.
type NodeCase = (&'static str, Ask, &'static str);

fn node_pod_cases() -> Vec<NodeCase> {
    let owner = |uid: &str| json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true}]);
    let mut labelled = pod("web", "n1", json!({}));
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let status = |pod: Value, old: Value| create("", "pods", pod).sub("status").update(old);
    vec![
        ("mirror pod", create("", "pods", mirror(owner("node-1"))), ""),
        (
            "any pod",
            create_pod(json!({"nodeName": "n1"})),
            "pods \"web\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
        ),
        (
            "mirror pod of nobody",
            create("", "pods", mirror(json!([]))),
            "pods \"static-n1\" is forbidden: node \"n1\" can only create pods with an owner reference set to itself",
        ),
        (
            "mirror pod of an older node",
            create("", "pods", mirror(owner("old"))),
            "pods \"static-n1\" is forbidden: node n1 UID mismatch: expected old got node-1",
        ),
        ("deleting its pod", create_pod(json!({})).delete("web"), ""),
        (
            "deleting another's pod",
            create_pod(json!({})).delete("other"),
            "pods \"other\" is forbidden: node \"n1\" can only delete pods with spec.nodeName set to itself",
        ),
        ("deleting what is gone", create_pod(json!({})).delete("x"), "pods \"x\" not found"),
        ("status", status(pod("web", "n1", json!({})), pod("web", "n1", json!({}))), ""),
        (
            "another's status",
            status(pod("web", "n2", json!({})), pod("web", "n2", json!({}))),
            "pods \"web\" is forbidden: node \"n1\" can only update pod status for pods with spec.nodeName set to itself",
        ),
        (
            "labels through status",
            status(labelled, pod("web", "n1", json!({}))),
            "pods \"web\" is forbidden: node \"n1\" cannot update labels through pod status",
        ),
        ("evicting", create("", "pods", json!({})).sub("eviction").name("web"), ""),
        (
            "evicting another's",
            create("", "pods", json!({})).sub("eviction").name("other"),
            "pods \"other\" is forbidden: node n1 can only evict pods with spec.nodeName set to itself",
        ),
        (
            "binding",
            create("", "pods", json!({})).sub("binding").name("web"),
            "pods \"web\" is forbidden: unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed",
        ),
    ]
}

fn node_own_cases() -> Vec<NodeCase> {
    let node = |labels: Value| create("", "nodes", node_object(labels)).namespace("").name("n1");
    let mut tainted = node_object(json!({}));
    tainted["spec"] = json!({"taints": [{"key": "a", "effect": "NoSchedule"}]});
    let lease = |name: &str| {
        create("coordination.k8s.io", "leases", object("kube-node-lease", name, ""))
            .namespace("kube-node-lease")
    };
    vec![
        (
            "itself",
            node(json!({"kubernetes.io/hostname": "n1", "node.kubernetes.io/x": "y", "mine": "z"})),
            "",
        ),
        (
            "reserved labels",
            node(
                json!({"node-role.kubernetes.io/master": "", "x.node-restriction.kubernetes.io/y": "", "k8s.io/z": ""}),
            ),
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: k8s.io/z, node-role.kubernetes.io/master, x.node-restriction.kubernetes.io/y",
        ),
        (
            "another node",
            create("", "nodes", object("", "n2", "")).namespace(""),
            "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"",
        ),
        (
            "own taints",
            node(json!({})).update(tainted),
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints",
        ),
        (
            "taking a label off",
            node(json!({})).update(node_object(json!({"node-role.kubernetes.io/worker": ""}))),
            "nodes \"n1\" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/worker",
        ),
        ("lease", lease("n1"), ""),
        (
            "another's lease",
            lease("n2"),
            "leases.coordination.k8s.io \"n2\" is forbidden: can only access node lease with the same name as the requesting node",
        ),
        (
            "a lease elsewhere",
            lease("n1").namespace("default"),
            "leases.coordination.k8s.io \"n1\" is forbidden: can only access leases in the \"kube-node-lease\" system namespace",
        ),
        (
            "CSINode",
            create("storage.k8s.io", "csinodes", object("", "n2", "")).namespace(""),
            "csinodes.storage.k8s.io \"n2\" is forbidden: can only access CSINode with the same name as the requesting node",
        ),
    ]
}

fn node_token_cases() -> Vec<NodeCase> {
    let token = |pod: &str, uid: &str, audience: &str| {
        create("", "serviceaccounts", token_request(pod, uid, audience)).sub("token").name("bot")
    };
    vec![
        ("token", token("web", "uid-web", ""), ""),
        ("token of a projected audience", token("web", "uid-web", "vault"), ""),
        ("token of an allowed audience", token("web", "uid-web", "allowed"), ""),
        (
            "token of a strange audience",
            token("web", "uid-web", "strange"),
            "serviceaccounts \"bot\" is forbidden: audience \"strange\" not found in pod spec volume",
        ),
        (
            "token for another's pod",
            token("other", "uid-other", ""),
            "serviceaccounts \"bot\" is forbidden: node requested token bound to a pod scheduled on a different node",
        ),
        (
            "token without a uid",
            token("web", "", ""),
            "serviceaccounts \"bot\" is forbidden: node requested token with a pod binding without a uid",
        ),
        (
            "token without a pod",
            create("", "serviceaccounts", json!({"spec": {}})).sub("token").name("bot"),
            "serviceaccounts \"bot\" is forbidden: node requested token not bound to a pod",
        ),
        ("events", create("", "events", json!({})), ""),
    ]
}

#[tokio::test]
async fn node_restriction() {
    let projected = json!({"volumes": [{"name": "v", "projected": {"sources": [
        {"serviceAccountToken": {"path": "t", "audience": "vault"}},
    ]}}]});
    let objects = FakeObjects::with(&[
        (&NODES, object("", "n1", "node-1")),
        (&PODS, pod("web", "n1", projected)),
        (&PODS, pod("other", "n2", json!({}))),
    ]);
    let plugin = || {
        let may = Fixed(|a| a.verb == "request-serviceaccounts-token-audience" && a.resource == "allowed");
        NodeRestriction::new(objects.clone(), Arc::new(may))
    };
    for (what, ask, want) in [node_pod_cases(), node_own_cases(), node_token_cases()].into_iter().flatten() {
        let got = ask.node("n1").through(plugin()).await;
        assert_eq!(got.err().map(|status| status.message).unwrap_or_default(), want, "{what}");
    }
    assert!(create_pod(json!({})).through(plugin()).await.is_ok(), "others are not nodes");
    let unknown = create_pod(json!({})).node("").through(plugin()).await.expect_err("a node without a name");
    assert_eq!(
        unknown.message,
        "pods \"web\" is forbidden: could not determine node from user \"system:node:\""
    );
}

#[test]
fn names_that_are_still_to_be_generated() {
    let mut generated = json!({"metadata": {"generateName": "web-"}});
    let kind = GroupVersionKind::new("", "v1", "Pod");
    let resource = GroupVersionResource::new("", "v1", "pods");
    let jane = user("jane", &[]);
    let request = AdmissionRequest {
        operation: Operation::Create,
        kind: &kind,
        resource: &resource,
        subresource: "",
        namespace: "default",
        name: "",
        user: &Arc::new(jane),
        object: Some(&mut generated),
        old_object: None,
        options: &Value::Null,
        dry_run: false,
        warnings: &mut Vec::new(),
        annotations: &Annotations::default(),
    };
    assert_eq!(refuse(&request, "no").message, "pods \"web-\" is forbidden: no");
}
