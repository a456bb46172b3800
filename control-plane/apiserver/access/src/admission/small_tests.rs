//! The small plugins, a few words each.

use oarlock_api::GroupResource;
use serde_json::json;

use super::tests::{Ask, create, create_pod, no, told};
use super::*;
use crate::resources::{INGRESS_CLASSES, NODES, RUNTIME_CLASSES, STORAGE_CLASSES};
use crate::testing::{FakeObjects, Fixed, object, pod, user};
use crate::types::{ServedResource, Surface};
use oarlock_api::{GroupVersionKind, GroupVersionResource};
use serde_json::Value;

fn class(name: &str, created: &str, marks: Value) -> Value {
    let mut class = object("", name, "");
    class["metadata"]["creationTimestamp"] = created.into();
    class["metadata"]["annotations"] = marks;
    class
}

#[tokio::test]
async fn default_classes() {
    let of = |kind: &str| json!({format!("{kind}.kubernetes.io/is-default-class"): "true"});
    let classes = |resource: &GroupResource, mark: Value| {
        FakeObjects::with(&[
            (resource, class("old", "2024-01-01T00:00:00Z", mark.clone())),
            (resource, class("new", "2025-01-01T00:00:00Z", mark.clone())),
            (resource, class("newer", "2026-01-01T00:00:00Z", json!({}))),
        ])
    };
    let storage = classes(&STORAGE_CLASSES, of("storageclass"));
    let claim = |spec: Value| {
        let mut claim = object("default", "data", "");
        claim["spec"] = spec;
        create("", "persistentvolumeclaims", claim)
    };
    let cases = [(json!({}), json!("new")), (json!({"storageClassName": ""}), json!(""))];
    for (spec, want) in cases {
        let claim = claim(spec).through(DefaultStorageClass::new(storage.clone())).await.expect("admitted");
        assert_eq!(claim["spec"]["storageClassName"], want);
    }
    let ingress = create("networking.k8s.io", "ingresses", json!({"metadata": {"name": "x"}, "spec": {}}));
    let classes = classes(&INGRESS_CLASSES, of("ingressclass"));
    let ingress = ingress.through(DefaultIngressClass::new(classes)).await.expect("admitted");
    assert_eq!(ingress["spec"]["ingressClassName"], "new");
}

#[tokio::test]
async fn finalizers_of_storage() {
    for (resource, want) in [
        ("persistentvolumes", json!(["kubernetes.io/pv-protection"])),
        ("persistentvolumeclaims", json!(["kubernetes.io/pvc-protection"])),
        ("configmaps", Value::Null),
    ] {
        let ask = create("", resource, object("", "x", ""));
        let made = ask.through(StorageObjectInUseProtection).await.expect("admitted");
        assert_eq!(made["metadata"]["finalizers"], want, "{resource}");
    }
}

#[tokio::test]
async fn claims_grow_where_their_class_lets_them() {
    let mut growing = object("", "growing", "");
    growing["allowVolumeExpansion"] = true.into();
    let objects =
        FakeObjects::with(&[(&STORAGE_CLASSES, growing), (&STORAGE_CLASSES, object("", "fixed", ""))]);
    let claim = |class: &str, size: &str, phase: &str| {
        let mut claim = object("default", "data", "");
        claim["spec"] = json!({"storageClassName": class, "resources": {"requests": {"storage": size}}});
        claim["status"] = json!({"phase": phase});
        claim
    };
    let grow = |class: &str, to: &str, phase: &str| {
        create("", "persistentvolumeclaims", claim(class, to, phase)).update(claim(class, "1Gi", phase))
    };
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
               resize";
    let cases = [
        (grow("growing", "2Gi", "Bound"), ""),
        (grow("fixed", "1Gi", "Bound"), ""),
        (grow("fixed", "2Gi", "Bound"), why),
        (grow("growing", "2Gi", "Pending"), "Only bound persistent volume claims can be expanded"),
    ];
    for (ask, want) in cases {
        let got = told(ask.through(PersistentVolumeClaimResize::new(objects.clone())).await);
        let want = if want.is_empty() {
            Ok(())
        } else {
            no(403, &format!("persistentvolumeclaims \"data\" is forbidden: {want}"))
        };
        assert_eq!(got, want);
    }
}

#[tokio::test]
async fn runtime_classes() {
    let mut kata = object("", "kata", "");
    kata["overhead"] = json!({"podFixed": {"cpu": "100m"}});
    kata["scheduling"] = json!({
        "nodeSelector": {"kata": "yes"}, "tolerations": [{"key": "kata", "operator": "Exists"}],
    });
    let objects = FakeObjects::with(&[(&RUNTIME_CLASSES, kata)]);
    let through = async |spec: Value| create_pod(spec).through(RuntimeClass::new(objects.clone())).await;
    let pod = through(json!({"runtimeClassName": "kata"})).await.expect("admitted");
    assert_eq!(
        pod["spec"],
        json!({
            "runtimeClassName": "kata", "overhead": {"cpu": "100m"}, "nodeSelector": {"kata": "yes"},
            "tolerations": [{"key": "kata", "operator": "Exists"}],
        })
    );
    let cases = [
        (json!({"runtimeClassName": "x"}), "pod rejected: RuntimeClass \"x\" not found"),
        (
            json!({"runtimeClassName": "kata", "overhead": {"cpu": "1"}}),
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({"overhead": {"cpu": "1"}}),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            json!({"runtimeClassName": "kata", "nodeSelector": {"kata": "no"}}),
            "conflict: runtimeClass.scheduling.nodeSelector[kata] = yes; pod.spec.nodeSelector[kata] = no",
        ),
    ];
    for (spec, want) in cases {
        assert_eq!(told(through(spec).await), no(403, &format!("pods \"web\" is forbidden: {want}")));
    }
}

fn signing_request(signer: &str, subresource: &'static str, status: Value) -> Ask {
    let mut csr = object("", "mine", "");
    csr["spec"] = json!({"signerName": signer});
    let mut new = csr.clone();
    new["status"] = status;
    create("certificates.k8s.io", "certificatesigningrequests", new)
        .namespace("")
        .sub(subresource)
        .update(csr)
}

#[tokio::test]
async fn signers() {
    let may: Arc<dyn Authorizer> = Arc::new(Fixed(|asked| {
        asked.resource == "signers"
            && match asked.verb.as_str() {
                "approve" => asked.name == "example.com/one",
                _ => asked.name == "example.com/*",
            }
    }));
    let approve = |signer: &str| {
        signing_request(signer, "approval", json!({})).through(CertificateApproval::new(may.clone()))
    };
    let sign = |signer: &str, status: Value| {
        signing_request(signer, "status", status).through(CertificateSigning::new(may.clone()))
    };
    let forbidden = |what: &str, signer: &str| {
        let name = "certificatesigningrequests.certificates.k8s.io \"mine\" is forbidden";
        no(403, &format!("{name}: user not permitted to {what} requests with signerName {signer:?}"))
    };
    assert_eq!(told(approve("example.com/one").await), Ok(()));
    assert_eq!(told(approve("example.com/two").await), forbidden("approve", "example.com/two"));
    assert_eq!(told(sign("example.com/two", json!({"certificate": "x"})).await), Ok(()));
    assert_eq!(told(sign("other/one", json!({"certificate": "x"})).await), forbidden("sign", "other/one"));
    assert_eq!(told(sign("other/one", json!({})).await), Ok(()), "nothing issued");
}

#[tokio::test]
async fn no_certificate_for_masters() {
    use base64::Engine as _;
    let request = |group: &str, signer: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, group);
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = params.serialize_request(&key).expect("a request").pem().expect("printable");
        let mut csr = object("", "mine", "");
        csr["spec"] = json!({
            "signerName": signer, "request": base64::engine::general_purpose::STANDARD.encode(pem),
        });
        create("certificates.k8s.io", "certificatesigningrequests", csr).namespace("")
    };
    let client = "kubernetes.io/kube-apiserver-client";
    let through = async |ask: Ask| told(ask.through(CertificateSubjectRestriction).await);
    let why = "certificatesigningrequests.certificates.k8s.io \"mine\" is forbidden: use of \
               kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    assert_eq!(through(request("system:masters", client)).await, no(403, why));
    assert_eq!(through(request("admins", client)).await, Ok(()));
    assert_eq!(through(request("system:masters", "example.com/any")).await, Ok(()));
}

#[tokio::test]
async fn pods_know_their_zone() {
    let mut node = object("", "n1", "");
    node["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": "z", "other": "x"});
    let objects = FakeObjects::with(&[(&NODES, node)]);
    let plugin = || PodTopologyLabels::new(objects.clone());
    let binding = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}});
    let bound = create("", "pods", binding).sub("binding").through(plugin()).await.expect("admitted");
    assert_eq!(bound["metadata"]["labels"], json!({"topology.kubernetes.io/zone": "z"}));
    let placed = create_pod(json!({"nodeName": "n1"})).through(plugin()).await.expect("admitted");
    assert_eq!(placed["metadata"]["labels"], json!({"topology.kubernetes.io/zone": "z"}));
    let free = create_pod(json!({})).through(plugin()).await.expect("admitted");
    assert_eq!(free["metadata"]["labels"], Value::Null);
}

#[tokio::test]
async fn resizes_fit_their_node() {
    let mut node = object("", "n1", "");
    node["metadata"]["labels"] = json!({"kubernetes.io/os": "linux"});
    node["status"] = json!({"allocatable": {"cpu": "2", "memory": "1Gi"}});
    let objects = FakeObjects::with(&[(&NODES, node)]);
    let sized = |cpu: &str| {
        pod("web", "n1", json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]}))
    };
    let resize = |cpu: &str| create("", "pods", sized(cpu)).sub("resize").update(sized("1"));
    let through = async |ask: Ask| told(ask.through(PodResizeValidator::new(objects.clone())).await);
    assert_eq!(through(resize("2")).await, Ok(()));
    let why = "pods \"web\" is forbidden: Node didn't have enough allocatable resources: cpu, requested: 3000, \
               allocatable: 2000";
    assert_eq!(through(resize("3")).await, no(403, why));
}

#[tokio::test]
async fn plugins_that_are_off_by_default() {
    let image =
        |policy: &str| json!({"containers": [{"name": "a", "image": "x", "imagePullPolicy": policy}]});
    let pulled = create_pod(image("Never")).through(AlwaysPullImages).await.expect("admitted");
    assert_eq!(pulled["spec"]["containers"][0]["imagePullPolicy"], "Always");
    let service = |addresses: Value| {
        let mut service = object("default", "x", "");
        service["spec"] = json!({"externalIPs": addresses});
        service
    };
    let denied = "services \"x\" is forbidden: Use of external IPs is denied by admission control.";
    let ask = create("", "services", service(json!(["1.2.3.4"])));
    assert_eq!(told(ask.through(DenyServiceExternalIPs).await), no(403, denied));
    let fewer = create("", "services", service(json!([]))).update(service(json!(["1.2.3.4"])));
    assert_eq!(told(fewer.through(DenyServiceExternalIPs).await), Ok(()));
    let gpu = json!({"containers": [{"name": "a", "resources": {"requests": {"example.com/gpu": "1", "cpu": "1"}}}]});
    let tolerant = create_pod(gpu).through(ExtendedResourceToleration).await.expect("admitted");
    let want = json!([{"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]);
    assert_eq!(tolerant["spec"]["tolerations"], want);
    let deny = "pods \"web\" is forbidden: admission control is denying all modifications";
    assert_eq!(told(create_pod(json!({})).through(AlwaysDeny).await), no(403, deny));
    let lost = create_pod(json!({})).namespace("lost").through(NamespaceExists::new(FakeObjects::with(&[])));
    assert_eq!(told(lost.await), no(404, "namespaces \"lost\" not found"));
    let limits = json!({"limits": [{"type": "User", "qps": 1, "burst": 2}]});
    let limited: Arc<dyn AdmissionPlugin> = Arc::new(EventRateLimit::new(&limits));
    let event = |name: &str| create("", "events", object("default", "e", "")).by(user(name, &[]));
    let mut codes = Vec::new();
    for name in ["jane", "jane", "jane", "joe"] {
        codes.push(event(name).through_shared(limited.clone()).await.map_or_else(|s| s.code, |_| 201));
    }
    assert_eq!(codes, [201, 201, 429, 201]);
}

struct NoSurface;

#[async_trait::async_trait]
impl Surface for NoSurface {
    fn resource_of_kind(&self, kind: &GroupVersionKind) -> Option<ServedResource> {
        (&*kind.kind == "Deployment").then(|| ServedResource {
            resource: GroupVersionResource::new("apps", "v1", "deployments"),
            kind: kind.clone(),
            namespaced: true,
        })
    }

    fn resource(&self, _resource: &GroupVersionResource) -> Option<ServedResource> {
        None
    }

    fn equivalents(&self, _resource: &GroupVersionResource) -> Vec<ServedResource> {
        Vec::new()
    }

    fn schema(&self, _kind: &GroupVersionKind) -> Option<oarlock_api::Schema> {
        None
    }

    async fn convert(&self, object: Value, _to: &GroupVersionKind) -> Result<Value, Status> {
        Ok(object)
    }
}

#[tokio::test]
async fn owners_are_not_given_away() {
    let owned = |block: bool| {
        let mut pod = pod("web", "", json!({}));
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "1", "blockOwnerDeletion": block,
        }]);
        pod
    };
    let may_delete = |asked: &crate::types::Attributes| asked.verb == "delete";
    let through = async |ask: Ask, rule: fn(&crate::types::Attributes) -> bool| {
        told(
            ask.through(OwnerReferencesPermissionEnforcement::new(
                Arc::new(Fixed(rule)),
                Arc::new(NoSurface),
            ))
            .await,
        )
        .is_ok()
    };
    let plain = || pod("web", "", json!({}));
    assert!(through(create("", "pods", owned(false)), |_| false).await, "a creator may");
    assert!(!through(create("", "pods", owned(false)).update(plain()), |_| false).await);
    assert!(through(create("", "pods", owned(false)).update(plain()), may_delete).await);
    assert!(!through(create("", "pods", owned(true)).update(plain()), may_delete).await);
    let finalizers =
        |asked: &crate::types::Attributes| asked.verb == "delete" || asked.subresource == "finalizers";
    assert!(through(create("", "pods", owned(true)).update(plain()), finalizers).await);
}

#[test]
fn choices() {
    let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let choice = PluginChoice::new(&names(&["AlwaysPullImages"]), &names(&["LimitRanger"])).expect("valid");
    let runs: Vec<bool> = ["AlwaysPullImages", "LimitRanger", "AlwaysDeny", "PodSecurity"]
        .iter()
        .map(|n| choice.runs(n))
        .collect();
    assert_eq!(runs, [true, false, false, true]);
    let faults =
        PluginChoice::new(&names(&["Nope", "LimitRanger"]), &names(&["LimitRanger"])).expect_err("invalid");
    assert_eq!(
        faults,
        [
            "enable-admission-plugins plugin \"Nope\" is unknown",
            "[\"LimitRanger\"] in enable-admission-plugins and disable-admission-plugins overlapped",
        ]
    );
}

#[test]
fn configuration_files() {
    let read = |path: &std::path::Path| {
        assert_eq!(path, std::path::Path::new("/etc/pss.yaml"));
        Ok(b"apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\ndefaults:\n  \
             enforce: baseline\n  enforce-version: v1.30\nexemptions:\n  namespaces: [kube-system]\n"
            .to_vec())
    };
    let file = |name: &str| {
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: {name}\n  path: \
             pss.yaml\n"
        )
    };
    let directory = std::path::Path::new("/etc");
    let config = AdmissionConfig::parse(file("PodSecurity").as_bytes(), directory, &read).expect("valid");
    assert_eq!(config.pod_security.defaults.enforce.to_string(), "baseline:v1.30");
    assert_eq!(config.pod_security.exempt_namespaces, ["kube-system"]);
    let faults = AdmissionConfig::parse(file("Security").as_bytes(), directory, &read).expect_err("unknown");
    assert_eq!(faults, ["plugin \"Security\": no such admission plugin"]);
    let inline = |plugin: &str, configuration: Value| {
        let file = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
            "plugins": [{"name": plugin, "configuration": configuration}],
        });
        AdmissionConfig::parse(file.to_string().as_bytes(), directory, &read).err().unwrap_or_default().len()
    };
    let limits = |limit: Value| {
        let version = "eventratelimit.admission.k8s.io/v1alpha1";
        json!({"apiVersion": version, "kind": "Configuration", "limits": [limit]})
    };
    assert_eq!(inline("EventRateLimit", limits(json!({"type": "User", "qps": 5, "burst": 9}))), 0);
    assert_eq!(inline("EventRateLimit", limits(json!({"type": "Moon", "qsp": 5, "burst": 9}))), 3);
    assert_eq!(inline("PodNodeSelector", json!({"ns": ["a=b"]})), 1);
    assert_eq!(inline("LimitRanger", json!({"limits": []})), 1);
    let bad = b"apiVersion: v1\nkind: AdmissionConfiguration\nplugin: []\n";
    assert_eq!(AdmissionConfig::parse(bad, directory, &read).expect_err("two faults").len(), 2);
}

#[tokio::test]
async fn nodes_declare_what_they_can_do() {
    let mut able = object("", "able", "");
    able["status"] = json!({"declaredFeatures": ["GuaranteedQoSPodCPUResize"]});
    let objects = FakeObjects::with(&[(&NODES, able), (&NODES, object("", "plain", ""))]);
    let sized = |node: &str, cpu: &str| {
        let mut pod =
            pod("web", node, json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]}));
        pod["status"] = json!({"qosClass": "Guaranteed"});
        pod
    };
    let resize = async |node: &str, cpu: &str| {
        let ask = create("", "pods", sized(node, cpu)).sub("resize").update(sized(node, "1"));
        told(ask.through(NodeDeclaredFeatureValidator::new(objects.clone())).await)
    };
    assert_eq!(resize("able", "2").await, Ok(()));
    assert_eq!(resize("plain", "1").await, Ok(()), "nothing changes");
    let why = "pods \"web\" is forbidden: pod update requires features GuaranteedQoSPodCPUResize which are not available \
               on node \"plain\"";
    assert_eq!(resize("plain", "2").await, no(403, why));
}

#[derive(Default)]
struct Maker(parking_lot::Mutex<Vec<Value>>);

#[async_trait::async_trait]
impl NamespaceCreator for Maker {
    async fn create_namespace(&self, namespace: Value) -> Result<(), Status> {
        self.0.lock().push(namespace["metadata"]["name"].clone());
        Err(Status::already_exists(&crate::resources::NAMESPACES, "raced"))
    }
}

#[tokio::test]
async fn namespaces_are_provided() {
    let objects = FakeObjects::with(&[(&crate::resources::NAMESPACES, object("", "default", ""))]);
    let maker = Arc::new(Maker::default());
    for namespace in ["default", "raced"] {
        let plugin = NamespaceAutoProvision::new(objects.clone(), maker.clone());
        let made = create_pod(json!({})).namespace(namespace).through(plugin).await;
        assert!(made.is_ok(), "{namespace}");
    }
    assert_eq!(*maker.0.lock(), ["raced"]);
}

#[tokio::test]
async fn images_are_reviewed() {
    use oarlock_apiserver_webhook::testing::{Answer, TestServer, clients};
    let server = TestServer::start(&[], |received| {
        let spec = &received.body["spec"];
        let allowed = spec["containers"][0]["image"] == "good";
        Answer::json(&json!({"status": {"allowed": allowed, "reason": "unsigned"}}))
    })
    .await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {
            "server": server.url("/review"), "certificate-authority-data": server.ca_bundle(),
        }}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    });
    std::fs::write(dir.path().join("hook.yaml"), kubeconfig.to_string()).expect("written");
    let configuration = json!({"imagePolicy": {"kubeConfigFile": "hook.yaml", "allowTTL": 60}});
    let config = ImagePolicyConfig::read(&configuration, dir.path()).expect("valid");
    let (clients, _tasks) = clients(Arc::new(oarlock_apiserver_webhook::NoServices));
    let plugin: Arc<dyn AdmissionPlugin> =
        Arc::new(ImagePolicyWebhook::new(config, &clients).expect("a client"));
    let run = async |image: &str| {
        let ask = create_pod(json!({"containers": [{"name": "a", "image": image}]}));
        told(ask.through_shared(plugin.clone()).await)
    };
    assert_eq!((run("good").await, run("good").await), (Ok(()), Ok(())));
    assert_eq!(server.requests().len(), 1, "answers are kept");
    let why = "pods \"web\" is forbidden: image policy webhook backend denied one or more images: unsigned";
    assert_eq!(run("bad").await, no(403, why));
    let faults = ImagePolicyConfig::read(&json!({"imagePolicy": {"allowTTL": 9999}}), dir.path());
    assert_eq!(faults.expect_err("two faults").len(), 2);
}

#[tokio::test]
async fn debug_containers_borrow_no_secrets() {
    let mut strict = object("default", "strict", "");
    strict["metadata"]["annotations"] = json!({"kubernetes.io/enforce-mountable-secrets": "true"});
    let objects = FakeObjects::with(&[(&crate::resources::SERVICE_ACCOUNTS, strict)]);
    let debugged = pod(
        "web",
        "",
        json!({"serviceAccountName": "strict", "ephemeralContainers": [
            {"name": "d", "envFrom": [{"secretRef": {"name": "s"}}]},
        ]}),
    );
    let ask = create("", "pods", debugged).sub("ephemeralcontainers").update(pod("web", "", json!({})));
    let why = "pods \"web\" is forbidden: ephemeral container d with envFrom referencing secret.secretName=\"s\" is not \
               allowed because service account strict does not reference that secret";
    assert_eq!(told(ask.through(ServiceAccount::new(objects)).await), no(403, why));
}

struct NoQuotas;

#[async_trait::async_trait]
impl QuotaUpdater for NoQuotas {
    async fn update_status(&self, _quota: Value) -> Result<Arc<Value>, Status> {
        Err(Status::internal("no quota is there to be written"))
    }
}

#[test]
fn a_plain_write_concerns_no_plugin() {
    let objects = FakeObjects::with(&[(&crate::resources::NAMESPACES, object("", "default", ""))]);
    let parts = AdmissionParts {
        objects: objects.clone(),
        rbac: Rbac::new(objects.clone()),
        authorizer: Arc::new(Fixed(|_| true)),
        surface: Arc::new(NoSurface),
        quotas: Arc::new(NoQuotas),
        metrics: crate::AccessMetrics::new(),
        config: AdmissionConfig::default(),
        not_ready_toleration_seconds: 300,
        unreachable_toleration_seconds: 300,
        others: Vec::new(),
    };
    let plugins = parts.build(&PluginChoice::default());
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name()).collect();
    let mut in_order: Vec<&str> = ALL_PLUGINS.into_iter().filter(|name| names.contains(name)).collect();
    in_order.push("RBACEscalation");
    assert_eq!(names, in_order);
    assert!(
        ["LimitRanger", "NodeRestriction", "PodSecurity", "ResourceQuota"].iter().all(|n| names.contains(n))
    );
    let concerned = |resource: &str| {
        let (kind, resource) =
            (GroupVersionKind::new("", "v1", "X"), GroupVersionResource::new("", "v1", resource));
        let mut thing = object("default", "x", "");
        let request = AdmissionRequest {
            operation: Operation::Create,
            kind: &kind,
            resource: &resource,
            subresource: "",
            namespace: "default",
            name: "x",
            user: &Arc::new(user("jane", &[])),
            object: Some(&mut thing),
            old_object: None,
            options: &Value::Null,
            dry_run: false,
            warnings: &mut Vec::new(),
            annotations: &crate::Annotations::default(),
        };
        let phases = [Phase::Mutate, Phase::Validate];
        let concerned = |plugin: &&Arc<dyn AdmissionPlugin>| {
            plugin.handles(Operation::Create) && phases.iter().any(|phase| plugin.concerns(*phase, &request))
        };
        plugins.iter().filter(concerned).map(|plugin| plugin.name()).collect::<Vec<_>>()
    };
    assert_eq!(concerned("configmaps"), [""; 0]);
    let quota = object("default", "q", "");
    objects.put(&crate::resources::RESOURCE_QUOTAS, quota);
    assert_eq!(concerned("configmaps"), ["ResourceQuota"]);
}
