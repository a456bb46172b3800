//! What is allowed but unwise.

use super::*;

fn warned(object: Value) -> Vec<String> {
    let (object, errors) = created(object);
    assert!(errors.is_empty(), "{errors:?}");
    strategy_for(&resource_of(&object)).warnings(&context(""), &object, None)
}

fn check_warned(name: &str, object: Value, want: &[&str]) {
    assert_eq!(warned(object), want, "{name}");
}

#[test]
fn pods_are_warned_of() {
    check_warned("plain", pod(container(json!({"ports": [{"containerPort": 80}]}))), &[]);
    check_warned(
        "labels of nodes",
        pod(json!({
            "containers": [{"name": "a", "image": "i"}], "nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "failure-domain.beta.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}],
        })),
        &[
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ],
    );
    check_warned(
        "twice",
        pod(json!({
            "imagePullSecrets": [{"name": "s"}, {"name": "s"}, {}],
            "hostAliases": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}],
            "containers": [
                {"name": "a", "image": "i", "ports": [{"containerPort": 80, "name": "x"}, {"containerPort": 80, "hostPort": 8080}],
                    "env": [{"name": "P", "value": "1"}, {"name": "P", "value": "$(P):2"}, {"name": "P", "value": "3"}],
                    "resources": {"limits": {"memory": "100m"}, "requests": {"memory": "100m"}}},
                {"name": "b", "image": "i", "ports": [{"containerPort": 80}]},
            ],
        })),
        &[
            "spec.hostAliases[1].ip: duplicate ip \"10.0.0.1\"",
            "spec.imagePullSecrets[1].name: duplicate name \"s\"",
            "spec.imagePullSecrets[2].name: invalid empty name \"\"",
            "spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
            "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, must be an integer",
            "spec.containers[0].env[2]: hides previous definition of \"P\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
            "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
            "spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[1]",
        ],
    );
    check_warned(
        "volumes",
        pod(json!({"containers": [{"name": "a", "image": "i"}], "volumes": [
            {"name": "g", "gitRepo": {"repository": "r"}},
            {"name": "c", "configMap": {"name": "m", "items": [{"key": "a", "path": "x/y"}, {"key": "b", "path": "x"}]}},
        ]})),
        &[
            "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            "volume \"c\" (ConfigMap \"m\"): overlapping paths: \"x\" with \"x/y\"",
        ],
    );
    let mut dotted = pod(container(json!({})));
    dotted["metadata"]["name"] = "a.b".into();
    let told = warned(dotted);
    assert!(told[0].starts_with("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [a lowercase"), "{told:?}");
}

#[test]
fn templates_are_warned_of_when_they_change() {
    let selecting = || {
        let mut object = workload("Deployment", json!({}));
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
        object["metadata"]["generation"] = 1.into();
        object
    };
    let want = [
        "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
    ];
    check_warned("new", selecting(), &want);
    let strategy = strategy_for(&resource_of(&selecting()));
    let mut newer = selecting();
    assert!(strategy.warnings(&context(""), &newer, Some(&selecting())).is_empty());
    newer["metadata"]["generation"] = 2.into();
    assert_eq!(strategy.warnings(&context(""), &newer, Some(&selecting())), want);
    assert!(strategy.warnings(&context("status"), &newer, Some(&selecting())).is_empty());
}

#[test]
fn the_rest_is_warned_of() {
    check_warned(
        "service",
        named(
            "v1",
            "Service",
            json!({
            "metadata": {"name": "x", "namespace": "default", "annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}},
            "spec": {"ports": [{"port": 80}], "externalName": "x.y", "externalIPs": ["FD00::1"], "trafficDistribution": "PreferClose"}}),
        ),
        &[
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead",
            "spec.externalIPs[0]: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")",
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            "spec.externalName is ignored when spec.type is not \"ExternalName\"",
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
        ],
    );
    check_warned(
        "claim",
        named(
            "v1",
            "PersistentVolumeClaim",
            json!({
            "metadata": {"name": "x", "annotations": {"volume.beta.kubernetes.io/storage-class": "s"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        ),
        &[
            "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead",
        ],
    );
    check_warned(
        "volume",
        named(
            "v1",
            "PersistentVolume",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Recycle", "hostPath": {"path": "/a"}}}),
        ),
        &[
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
        ],
    );
    check_warned(
        "ingress",
        named(
            "networking.k8s.io/v1",
            "Ingress",
            json!({
            "metadata": {"name": "x", "annotations": {"kubernetes.io/ingress.class": "c"}},
            "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 1}}}}}),
        ),
        &[
            "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead",
        ],
    );
    check_warned(
        "secret",
        named("v1", "Secret", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}})),
        &["tls: failed to find any PEM data in certificate input"],
    );
    check_warned(
        "network policy",
        named(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}}),
        ),
        &[
            "spec.ingress[0].from[0].ipBlock.cidr: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\"?)",
        ],
    );
}
