//! Services and their endpoints.

use super::*;

/// What it shows, the parts that differ from a good object, and what is said of them.
type Case = (&'static str, Value, &'static [&'static str]);

fn service(spec: Value) -> Value {
    let mut object = named("v1", "Service", json!({"spec": {"ports": [{"port": 80}]}}));
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

fn services_cases_1() -> Vec<Case> {
    vec![
        ("plain", json!({}), &[]),
        ("headless", json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": null}), &[]),
        ("no ports", json!({"ports": null}), &["spec.ports: Required value"]),
        (
            "two ports",
            json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "a"}]}),
            &[
                "spec.ports[1].name: Duplicate value: \"a\"",
                "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}",
            ],
        ),
        (
            "unnamed",
            json!({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}),
            &["spec.ports[0].name: Required value"],
        ),
        (
            "node port",
            json!({"ports": [{"port": 80, "nodePort": 30000}]}),
            &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            "type",
            json!({"type": "Other"}),
            &[
                "spec.type: Unsupported value: \"Other\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ],
        ),
        (
            "external name",
            json!({"type": "ExternalName", "ports": null}),
            &["spec.externalName: Required value"],
        ),
        (
            "external with addresses",
            json!({"type": "ExternalName", "externalName": "a.b.", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]}),
            &[
                "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
                "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
            ],
        ),
        (
            "headless balancer",
            json!({"type": "LoadBalancer", "clusterIP": "None", "clusterIPs": ["None"]}),
            &[
                "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services",
            ],
        ),
        (
            "affinity",
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}),
            &[
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
            ],
        ),
        (
            "first address",
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}),
            &["spec.clusterIPs: Invalid value: [\"10.0.0.2\"]: first value must match `clusterIP`"],
        ),
    ]
}

fn services_cases_2() -> Vec<Case> {
    vec![
        (
            "three addresses",
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2", "10.0.0.3"]}),
            &[
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\"]: may only hold up to 2 values",
            ],
        ),
        (
            "one family twice",
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}),
            &[
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one IP for each IP family",
            ],
        ),
        (
            "families",
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6", "IPv6"]}),
            &[
                "spec.ipFamilies[1]: Duplicate value: \"IPv6\"",
                "spec.clusterIPs[0]: Invalid value: \"10.0.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
            ],
        ),
        (
            "policies",
            json!({"externalTrafficPolicy": "Local", "internalTrafficPolicy": "Other", "trafficDistribution": "Far"}),
            &[
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
                "spec.internalTrafficPolicy: Unsupported value: \"Other\": supported values: \"Cluster\", \"Local\"",
                "spec.trafficDistribution: Unsupported value: \"Far\": supported values: \"PreferClose\", \"PreferSameZone\", \"PreferSameNode\"",
            ],
        ),
        (
            "health check",
            json!({"healthCheckNodePort": 30000}),
            &[
                "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
            ],
        ),
        (
            "class",
            json!({"loadBalancerClass": "a/b", "loadBalancerSourceRanges": ["10.0.0.0/8"]}),
            &[
                "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
                "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
            ],
        ),
        (
            "external addresses",
            json!({"externalIPs": ["127.0.0.1", "x", "0.0.0.0"]}),
            &[
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "spec.externalIPs[1]: Invalid value: \"x\": must be a valid IP address",
                "spec.externalIPs[2]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)",
            ],
        ),
        ("selector", json!({"selector": {"a/b/c": "x"}}), &["spec.selector: Invalid value: \"a/b/c\""]),
    ]
}

#[test]
fn services_are_told_what_is_wrong() {
    let cases = services_cases_1().into_iter().chain(services_cases_2());
    for (name, spec, want) in cases {
        check(name, service(spec), want);
    }
}

#[test]
fn addresses_are_set_once() {
    let with = |ips: &[&str]| {
        service(json!({"clusterIP": ips[0], "clusterIPs": ips, "ipFamilyPolicy": "PreferDualStack"}))
    };
    check_update(
        "changed",
        with(&["10.0.0.1"]),
        |s| {
            s["spec"]["clusterIP"] = "10.0.0.2".into();
            s["spec"]["clusterIPs"] = json!(["10.0.0.2"]);
        },
        &["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"],
    );
    check_update(
        "second",
        with(&["10.0.0.1"]),
        |s| s["spec"]["clusterIPs"] = json!(["10.0.0.1", "fd00::1"]),
        &[],
    );
    check_update(
        "released",
        with(&["10.0.0.1", "fd00::1"]),
        |s| s["spec"]["clusterIPs"] = json!(["10.0.0.1"]),
        &[
            "spec.clusterIPs[0]: Invalid value: [\"10.0.0.1\"]: `ipFamilyPolicy` must be set to 'SingleStack' when releasing the secondary clusterIP",
        ],
    );
    check_update(
        "to a name",
        with(&["10.0.0.1"]),
        |s| s["spec"] = json!({"type": "ExternalName", "externalName": "x.y", "sessionAffinity": "None"}),
        &[],
    );
    check_update(
        "class",
        service(json!({"type": "LoadBalancer", "loadBalancerClass": "a.b/c"})),
        |s| s["spec"]["loadBalancerClass"] = "a.b/d".into(),
        &["spec.loadBalancerClass: Invalid value: \"a.b/d\": may not change once set"],
    );
}

#[test]
fn endpoints_are_told_what_is_wrong() {
    check("none", named("v1", "Endpoints", json!({})), &[]);
    check(
        "all",
        named(
            "v1",
            "Endpoints",
            json!({"subsets": [
                {"ports": [{"port": 80}, {"port": 0, "name": "a"}]},
                {"addresses": [{"ip": "127.0.0.1"}, {"ip": "10.0.0.1", "hostname": "A"}]},
            ]}),
        ),
        &[
            "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
            "subsets[0].ports[0].name: Required value",
            "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "subsets[1].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range",
            "subsets[1].addresses[1].hostname: Invalid value: \"A\": a lowercase RFC 1123 label",
        ],
    );
}
