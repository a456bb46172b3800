//! Ingresses, network policies, slices, ranges.

use super::*;

const API: &str = "networking.k8s.io/v1";

fn ingress(path: Value) -> Value {
    named(API, "Ingress", json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [path]}}]}}))
}

#[test]
fn ingresses_are_told_what_is_wrong() {
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    check("plain", ingress(json!({"path": "/", "pathType": "Exact", "backend": backend})), &[]);
    check(
        "nothing",
        named(API, "Ingress", json!({"spec": {}})),
        &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    );
    check(
        "path",
        ingress(json!({"path": "a//b/..", "pathType": "Prefix", "backend": backend})),
        &[
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must be an absolute path",
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must not contain '//'",
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": cannot end with '/..'",
        ],
    );
    check(
        "no type",
        ingress(json!({"path": "/", "backend": backend})),
        &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
    );
    check(
        "backend",
        ingress(
            json!({"path": "/", "pathType": "Exact", "backend": {"service": {"name": "s", "port": {"number": 80, "name": "http"}}}}),
        ),
        &[
            "spec.rules[0].http.paths[0].backend: Invalid value: \"\": cannot set both port name & port number",
        ],
    );
    check(
        "resource",
        named(
            API,
            "Ingress",
            json!({"spec": {"defaultBackend": {"resource": {"apiGroup": "a.b", "name": "x/y"}}}}),
        ),
        &[
            "spec.defaultBackend.resource.kind: Required value",
            "spec.defaultBackend.resource.name: Invalid value: \"x/y\": may not contain '/'",
        ],
    );
    let class = |spec: Value| named(API, "IngressClass", json!({ "spec": spec }));
    check("class", class(json!({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n"}})), &[]);
    check(
        "class of a namespace",
        class(json!({"controller": "x", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}})),
        &[
            "spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ],
    );
    check_update(
        "controller",
        class(json!({"controller": "a.b/c"})),
        |c| c["spec"]["controller"] = "a.b/d".into(),
        &["spec.controller: Invalid value: \"a.b/d\": field is immutable"],
    );
}

#[test]
fn policies_are_told_what_is_wrong() {
    let policy = |spec: Value| named(API, "NetworkPolicy", json!({ "spec": spec }));
    check(
        "peer",
        policy(
            json!({"podSelector": {}, "ingress": [{"from": [{}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}, "podSelector": {}}]}]}),
        ),
        &[
            "spec.ingress[0].from[0]: Required value: must specify a peer",
            "spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer",
            "spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: \"11.0.0.0/8\": must be a strict subset of `cidr`",
        ],
    );
    check(
        "ports",
        policy(
            json!({"podSelector": {}, "egress": [{"ports": [{"endPort": 5}, {"port": 9, "endPort": 5}, {"port": "x", "endPort": 5}]}]}),
        ),
        &[
            "spec.egress[0].ports[0].endPort: Invalid value: 5: may not be specified when `port` is not specified",
            "spec.egress[0].ports[1].endPort: Invalid value: 9: must be greater than or equal to `port`",
            "spec.egress[0].ports[2].endPort: Invalid value: 5: may not be specified when `port` is non-numeric",
        ],
    );
}

#[test]
fn slices_are_told_what_is_wrong() {
    let slice = |rest: Value| named("discovery.k8s.io/v1", "EndpointSlice", rest);
    check("no type", slice(json!({"endpoints": []})), &["addressType: Required value"]);
    check(
        "addresses",
        slice(json!({"addressType": "IPv4", "endpoints": [
            {"addresses": []}, {"addresses": ["fd00::1", "169.254.1.1"], "nodeName": "", "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]})),
        &[
            "endpoints[0].addresses: Required value: must contain at least 1 address",
            "endpoints[1].addresses: Invalid value: \"fd00::1\": must be an IPv4 address",
            "endpoints[1].addresses[1]: Invalid value: \"169.254.1.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            "endpoints[1].nodeName: Invalid value: \"\"",
            "endpoints[1].hints.forZones[1].name: Duplicate value: \"a\"",
        ],
    );
    check(
        "ports",
        slice(json!({"addressType": "IPv4", "ports": [{"port": 1}, {"port": 2}]})),
        &["ports[1].name: Duplicate value: \"\""],
    );
    check_update(
        "type",
        slice(json!({"addressType": "IPv4"})),
        |s| s["addressType"] = "IPv6".into(),
        &["addressType: Invalid value: \"IPv6\": field is immutable"],
    );
}

#[test]
fn ranges_grow_by_a_family() {
    let range = |cidrs: &[&str]| named(API, "ServiceCIDR", json!({"spec": {"cidrs": cidrs}}));
    check("plain", range(&["10.0.0.0/16"]), &[]);
    check("none", range(&[]), &["spec.cidrs: Required value: at least one CIDR required"]);
    check(
        "one family",
        range(&["10.0.0.0/16", "10.1.0.0/16"]),
        &[
            "spec.cidrs: Invalid value: [\"10.0.0.0/16\",\"10.1.0.0/16\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ],
    );
    check(
        "not its first",
        range(&["10.0.0.1/16"]),
        &["spec.cidrs[0]: Invalid value: \"10.0.0.1/16\": must be in canonical form (\"10.0.0.0/16\")"],
    );
    check_update(
        "second",
        range(&["10.0.0.0/16"]),
        |r| r["spec"]["cidrs"] = json!(["10.0.0.0/16", "fd00::/112"]),
        &[],
    );
    check_update(
        "other",
        range(&["10.0.0.0/16"]),
        |r| r["spec"]["cidrs"] = json!(["10.1.0.0/16"]),
        &["spec.cidrs[0]: Invalid value: \"10.1.0.0/16\": field is immutable"],
    );
    let mut address =
        named(API, "IPAddress", json!({"spec": {"parentRef": {"resource": "services", "name": "s"}}}));
    address["metadata"]["name"] = "10.0.0.1".into();
    check("address", address.clone(), &[]);
    check_update(
        "parent",
        address,
        |a| a["spec"]["parentRef"]["name"] = "t".into(),
        &["spec.parentRef: Invalid value: {\"name\":\"t\",\"resource\":\"services\"}: field is immutable"],
    );
}
