//! What the JSON reader accepts, reports and refuses, and what the printer prints.

use oarlock_api::Table;
use oarlock_api::codec::json;

fn decode(group: &str, kind: &str, text: &str) -> Result<oarlock_api::codec::Decoded, String> {
    let table = Table::builtin();
    let ty = table.type_of(group, "v1", kind).expect("the kind exists");
    json::decode(table, ty, text.as_bytes()).map_err(|error| error.to_string())
}

/// Group, kind, text, and what is wrong with it.
const WRONG: &[(&str, &str, &str, &str)] = &[
    (
        "apps",
        "Deployment",
        r#"{"spec":{"replicas":"3"}}"#,
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "apps",
        "Deployment",
        r#"{"spec":{"replicas":1.5}}"#,
        "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "apps",
        "Deployment",
        r#"{"spec":{"replicas":3000000000}}"#,
        "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "",
        "ConfigMap",
        r#"{"data":{"a":1}}"#,
        "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
    ),
    (
        "",
        "Pod",
        r#"{"spec":{"containers":[{"name":"a","env":[{"name":"A","value":true}]}]}}"#,
        "json: cannot unmarshal bool into Go struct field EnvVar.spec.containers.env.value of type string",
    ),
    (
        "",
        "Pod",
        r#"{"spec":{"containers":{}}}"#,
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
    ),
    ("", "Pod", "[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
    (
        "",
        "Pod",
        r#"{"spec":{"restartPolicy":1}}"#,
        "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
    ),
    (
        "",
        "Pod",
        r#"{"spec":{"volumes":[{"name":"a","nfs":{"path":1}}]}}"#,
        "json: cannot unmarshal number into Go struct field NFSVolumeSource.spec.volumes.VolumeSource.nfs.path of type string",
    ),
    (
        "",
        "Pod",
        r#"{"spec":{"imagePullSecrets":[{"name":"a"}],"volumes":[{"ephemeral":[]}]}}"#,
        "json: cannot unmarshal array into Go struct field Volume.spec.volumes.VolumeSource.ephemeral of type v1.EphemeralVolumeSource",
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        r#"{"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":[1]}]}}}"#,
        "json: cannot unmarshal number into Go struct field NamedRuleWithOperations.spec.matchConstraints.resourceRules.RuleWithOperations.Rule.apiGroups of type string",
    ),
    (
        "",
        "Pod",
        r#"{"spec":{"containers":[{"resources":{"limits":[]}}]}}"#,
        "json: cannot unmarshal array into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
    ),
    (
        "",
        "Service",
        r#"{"spec":{"ports":[{"targetPort":1.5}]}}"#,
        "json: cannot unmarshal number 1.5 into Go struct field ServicePort.spec.ports.targetPort of type int32",
    ),
    (
        "",
        "Service",
        r#"{"metadata":{"creationTimestamp":5}}"#,
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
    ),
    (
        "",
        "Event",
        r#"{"firstTimestamp":"ü"}"#,
        r#"parsing time "\xc3\xbc" as "2006-01-02T15:04:05Z07:00": cannot parse "\xc3\xbc" as "2006""#,
    ),
    (
        "coordination.k8s.io",
        "Lease",
        r#"{"spec":{"renewTime":"2024"}}"#,
        r#"parsing time "2024" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "" as "-""#,
    ),
    (
        "coordination.k8s.io",
        "Lease",
        r#"{"spec":{"renewTime":"2024-01-02T03:04:05.1234567Z"}}"#,
        r#"parsing time "2024-01-02T03:04:05.1234567Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "7Z" as "Z07:00""#,
    ),
    ("", "Secret", r#"{"data":{"a":"Yg==x"}}"#, "illegal base64 data at input byte 4"),
    (
        "",
        "Event",
        r#"{"firstTimestamp":"2024-01-02T03:04:05Zx"}"#,
        r#"parsing time "2024-01-02T03:04:05Zx": extra text: "x""#,
    ),
    ("", "Secret", r#"{"data":{"a":"%"}}"#, "illegal base64 data at input byte 0"),
    ("", "Pod", r#"{"spec":"#, "unexpected end of JSON input"),
    ("", "Pod", r#"{"spec":{}} x"#, "invalid character 'x' after top-level value"),
];

#[test]
fn wrong_types_are_reported_as_upstream_reports_them() {
    for (group, kind, text, expect) in WRONG {
        assert_eq!(decode(group, kind, text).expect_err(text), *expect, "{text}");
    }
}

#[test]
fn odd_fields_are_dropped_and_reported() {
    for (text, strict) in [
        (r#"{"spec":{"foo":1,"replicas":1}}"#, r#"strict decoding error: unknown field "spec.foo""#),
        (
            r#"{"metadata":{"name":"a","name":"b"},"spec":{"Replicas":1}}"#,
            r#"strict decoding error: duplicate field "metadata.name", unknown field "spec.Replicas""#,
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"a"},{"x":{"y":[]}}]}}}}"#,
            r#"strict decoding error: unknown field "spec.template.spec.containers[1].x""#,
        ),
        (
            r#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#,
            r#"strict decoding error: duplicate field "metadata.labels.a""#,
        ),
    ] {
        let decoded = decode("apps", "Deployment", text).expect("it decodes");
        assert_eq!(decoded.strict_error().as_deref(), Some(strict), "{text}");
        assert!(decoded.value.pointer("/spec/foo").is_none());
    }
}

#[test]
fn values_become_canonical() {
    let text = r#"{"metadata":{"name":"a","labels":null,"annotations":{},"creationTimestamp":"2024-01-02T03:04:05+01:00"},
        "spec":{"hostNetwork":false,"terminationGracePeriodSeconds":0,"containers":[{"name":"c","resources":{"limits":
        {"cpu":0.5,"memory":"1024Mi"}},"ports":[null],"args":[]}],"nodeSelector":{"a":null}}}"#;
    let decoded = decode("", "Pod", text).expect("it decodes").value;
    assert_eq!(
        decoded,
        serde_json::json!({
            "metadata": {"name": "a", "creationTimestamp": "2024-01-02T02:04:05Z"},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}, "ports": [{}]}
                ],
                "nodeSelector": {"a": ""}
            }
        })
    );
}

#[test]
fn absent_fields_print_where_upstream_prints_them() {
    let table = Table::builtin();
    for (group, kind, input, expect) in [
        ("", "Pod", r#"{}"#, r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#),
        ("", "ConfigMap", r#"{"data":{}}"#, r#"{"metadata":{}}"#),
        (
            "",
            "Namespace",
            r#"{"metadata":{"name":"a"}}"#,
            r#"{"metadata":{"name":"a"},"spec":{},"status":{}}"#,
        ),
        (
            "",
            "Pod",
            r#"{"spec":{"containers":[{"name":"a"}]},"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#,
            r#"{"metadata":{},"spec":{"containers":[{"name":"a","resources":{}}]},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":null,"status":"True","type":"Ready"}]}}"#,
        ),
        (
            "apps",
            "Deployment",
            r#"{}"#,
            r#"{"metadata":{},"spec":{"selector":null,"strategy":{},"template":{"metadata":{},"spec":{"containers":null}}},"status":{}}"#,
        ),
    ] {
        let ty = table.type_of(group, "v1", kind).expect("the kind exists");
        let value = decode(group, kind, input).expect("it decodes").value;
        assert_eq!(String::from_utf8(json::encode(table, ty, &value)).expect("UTF-8"), expect, "{kind}");
    }
}

#[test]
fn the_type_is_read_without_the_object() {
    let read = |text: &str| json::type_meta(text.as_bytes()).map_err(|error| error.to_string());
    let meta = read(r#"{"spec":{"kind":"no"},"kind":"Pod","apiVersion":"v1"}"#).expect("valid");
    assert_eq!((meta.api_version.as_str(), meta.kind.as_str()), ("v1", "Pod"));
    assert_eq!(read("{}").expect("valid").kind, "");
    assert_eq!(
        read("nope").expect_err("malformed"),
        "couldn't get version/kind; json parse error: invalid character 'o' in literal null (expecting 'u')"
    );
}

#[test]
fn nesting_is_bounded() {
    let deep = format!(r#"{{"spec":{}"#, "[".repeat(100_000));
    assert!(decode("", "Pod", &deep).is_err(), "of a wrong type, found before the end");
    let raw = format!(r#"{{"data":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let table = Table::builtin();
    let ty = table.type_of("apps", "v1", "ControllerRevision").expect("it exists");
    assert_eq!(
        json::decode(table, ty, raw.as_bytes()).expect_err("too deep").to_string(),
        "exceeded max depth"
    );
}
