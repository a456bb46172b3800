use oarlock_api::FieldErrors;
use serde_json::{Value, json};

use super::{spec, update};

/// A definition with one version of this schema.
fn crd(schema: Value) -> Value {
    json!({"metadata": {"name": "foos.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "conversion": {"strategy": "None"},
        "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
    }, "status": {"storedVersions": ["v1"]}})
}

fn plain() -> Value {
    crd(json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "color": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}}}}}))
}

fn told(errors: &FieldErrors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What creating a changed plain definition tells.
fn check(change: impl FnOnce(&mut Value), want: &[&str]) {
    let mut one = plain();
    change(&mut one);
    compare(&told(&spec::validate_create(&one)), want);
}

fn compare(got: &[String], want: &[&str]) {
    assert_eq!(got.len(), want.len(), "{got:#?}\n{want:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{got}\n{want}");
    }
}

/// What creating a definition with this property of the spec tells.
fn property(schema: Value, want: &[&str]) {
    let one = crd(
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": schema}}}}),
    );
    let got = told(&spec::validate_create(&one));
    let at = "spec.validation.openAPIV3Schema.properties[spec].properties[x].";
    let short: Vec<String> =
        got.iter().map(|told| told.replace(at, "x.").replace(at.trim_end_matches('.'), "x")).collect();
    compare(&short, want);
}

#[test]
fn names_and_versions_are_checked() {
    check(|_| {}, &[]);
    for (versions, told) in [(Value::Null, "null"), (json!([]), "[]")] {
        let want = format!("spec.versions: Invalid value: {told}: must have exactly one version marked");
        check(
            |c| c["spec"]["versions"] = versions,
            &[&want, "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions"],
        );
    }
    check(
        |c| c["metadata"]["name"] = "x".into(),
        &["metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group"],
    );
    check(
        |c| {
            c["spec"]["group"] = "example".into();
            c["metadata"]["name"] = "foos.example".into();
        },
        &["spec.group: Invalid value: \"example\": should be a domain with at least one dot"],
    );
    check(
        |c| c["spec"]["scope"] = "Other".into(),
        &["spec.scope: Unsupported value: \"Other\": supported values: \"Cluster\", \"Namespaced\""],
    );
    check(
        |c| {
            c["spec"]["names"]["kind"] = "foo_bar".into();
            c["spec"]["names"]["listKind"] = "foo_bar".into();
            c["spec"]["names"]["shortNames"] = json!(["A"]);
        },
        &[
            "spec.names.kind: Invalid value: \"foo_bar\": may have mixed case, but should otherwise match: a DNS-1035 label",
            "spec.names.listKind: Invalid value: \"foo_bar\": may have mixed case",
            "spec.names.shortNames[0]: Invalid value: \"A\": a DNS-1035 label",
            "spec.names.listKind: Invalid value: \"foo_bar\": kind and listKind may not be the same",
        ],
    );
    check(|c| c["spec"]["names"]["singular"] = "".into(), &["spec.names.singular: Required value"]);
    check(
        |c| c["spec"]["versions"][0]["storage"] = false.into(),
        &["spec.versions: Invalid value: [{\"Name\":\"v1\""],
    );
    check(
        |c| {
            let mut second = c["spec"]["versions"][0].clone();
            second["storage"] = false.into();
            c["spec"]["versions"].as_array_mut().expect("a list").push(second);
        },
        &["spec.versions: Invalid value: [{"],
    );
    check(
        |c| c["spec"]["versions"][0]["schema"] = Value::Null,
        &["spec.versions[0].schema.openAPIV3Schema: Required value"],
    );
    check(
        |c| c["spec"]["preserveUnknownFields"] = true.into(),
        &[
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields",
        ],
    );
    check(
        |c| c["status"]["storedVersions"] = json!(["v0"]),
        &[
            "status.storedVersions: Invalid value: [\"v0\"]: must have the storage version v1",
            "status.storedVersions[0]: Invalid value: \"v0\": missing from spec.versions; v0 was previously a storage version",
        ],
    );
    check(
        |c| {
            c["spec"]["group"] = "a.k8s.io".into();
            c["metadata"]["name"] = "foos.a.k8s.io".into();
        },
        &[
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation",
        ],
    );
    check(
        |c| c["spec"]["versions"][0]["deprecationWarning"] = "x".into(),
        &[
            "spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions",
        ],
    );
}

#[test]
fn subresources_columns_and_selectable_fields_are_checked() {
    check(
        |c| {
            c["spec"]["versions"][0]["subresources"] = json!({"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": "x", "labelSelectorPath": ".foo"}});
        },
        &[
            "spec.subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
            "spec.subresources.scale.statusReplicasPath: Invalid value: \"x\": must be a simple json path starting with .",
            "spec.subresources.scale.labelSelectorPath: Invalid value: \".foo\": should be a json path under either .spec or .status",
        ],
    );
    check(
        |c| {
            c["spec"]["versions"][0]["additionalPrinterColumns"] = json!([{"name": "A", "type": "text", "jsonPath": "spec"}, {"type": "date", "format": "x", "jsonPath": ".a"}]);
        },
        &[
            "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
            "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"spec\": must be a simple json path starting with .",
            "spec.additionalPrinterColumns[1].name: Required value",
            "spec.additionalPrinterColumns[1].format: Invalid value: \"x\": must be one of byte,date,date-time",
        ],
    );
    check(
        |c| {
            c["spec"]["versions"][0]["selectableFields"] = json!([
                {"jsonPath": ".spec.color"}, {"jsonPath": ".spec.color"}, {"jsonPath": ".spec.nope"}, {"jsonPath": ".spec.list"}
            ]);
        },
        &[
            "spec.selectableFields[1].jsonPath: Duplicate value: \".spec.color\"",
            "spec.selectableFields[2].jsonPath: Invalid value: \".spec.nope\": is an invalid path: does not refer to a valid field",
            "spec.selectableFields[3].jsonPath: Invalid value: \".spec.list\": must point to a field of type string, boolean or integer.",
        ],
    );
    check(
        |c| {
            c["spec"]["versions"][0]["subresources"] = json!({"status": {}});
            c["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["anyOf"] = json!([{"required": ["spec"]}]);
        },
        &["spec.validation.openAPIV3Schema: Invalid value: {\"anyOf\":"],
    );
}

#[test]
fn conversion_is_checked() {
    let webhook = |config: Value, versions: Value| {
        move |c: &mut Value| {
            c["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"clientConfig": config, "conversionReviewVersions": versions}});
        }
    };
    check(webhook(json!({"url": "https://x/y"}), json!(["v1"])), &[]);
    check(
        webhook(json!({"service": {"name": "a", "namespace": "b", "path": "/c"}}), json!(["v1beta1", "v9"])),
        &[],
    );
    check(
        webhook(json!({"url": "http://u@/?q#f"}), json!(["v9"])),
        &[
            "spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[:port]/path",
            "spec.conversion.webhookClientConfig.url: Invalid value: \"\": host must be specified",
            "spec.conversion.webhookClientConfig.url: Invalid value: \"u\": user information is not permitted in the URL",
            "spec.conversion.webhookClientConfig.url: Invalid value: \"f\": fragments are not permitted",
            "spec.conversion.webhookClientConfig.url: Invalid value: \"q\": query parameters are not permitted",
            "spec.conversion.conversionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1",
        ],
    );
    check(
        webhook(json!({"service": {"name": "a", "namespace": "", "port": 0, "path": "x"}}), json!([])),
        &[
            "spec.conversion.webhookClientConfig.service.name: Required value",
            "spec.conversion.webhookClientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            "spec.conversion.webhookClientConfig.service.path: Invalid value: \"x\": must start with a '/'",
            "spec.conversion.webhookClientConfig.service.path: Invalid value: \"x\": segment[0] may not be empty",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    );
    check(
        webhook(json!({}), json!(["v1", "v1"])),
        &[
            "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
            "spec.conversion.conversionReviewVersions[1]: Invalid value: \"v1\": duplicate version",
        ],
    );
    check(
        |c| c["spec"]["conversion"]["webhook"] = json!({"clientConfig": {"url": "https://x"}}),
        &[
            "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
        ],
    );
}

#[test]
fn schemas_are_checked() {
    property(json!({"type": "string", "format": "date"}), &[]);
    property(
        json!({"type": "strin"}),
        &["x.type: Unsupported value: \"strin\": supported values: \"array\", \"boolean\""],
    );
    property(
        json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
        &[
            "x.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ],
    );
    property(
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
        &["x.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
    );
    property(json!({"type": "string", "$ref": "#/a"}), &["x.$ref: Forbidden: $ref is not supported"]);
    property(
        json!({"type": "string", "x-kubernetes-list-type": "set"}),
        &["x.type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"],
    );
    property(
        json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
        &[
            "x.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
        ],
    );
    property(
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"],
            "items": {"type": "object", "properties": {"a": {"type": "string", "nullable": true}}}}),
        &[
            "x.x-kubernetes-list-map-keys: Invalid value: [\"a\",\"b\"]: entries must all be names of item properties",
            "x.items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            "x.items.properties[a].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
        ],
    );
    property(
        json!({"type": "string", "x-kubernetes-map-type": "x"}),
        &[
            "x.type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified",
            "x.x-kubernetes-map-type: Unsupported value: \"x\": supported values: \"atomic\", \"granular\"",
        ],
    );
    property(json!({}), &["x.type: Required value: must not be empty for specified object fields"]);
    property(
        json!({"type": "string", "x-kubernetes-validations": [{"rule": " "}, {"rule": "true", "message": "a\nb"}, {"rule": "true", "reason": "X"}, {"rule": "true", "fieldPath": ".a"}]}),
        &[
            "x.x-kubernetes-validations[0].rule: Required value: rule is not specified",
            "x.x-kubernetes-validations[1].message: Invalid value: \"a\\nb\": must not contain line breaks",
            "x.x-kubernetes-validations[2].reason: Unsupported value: \"X\": supported values: \"FieldValueDuplicate\"",
            "x.x-kubernetes-validations[3].fieldPath: Invalid value: \".a\": must be a valid path",
        ],
    );
}

#[test]
fn defaults_are_values_of_the_schema() {
    property(json!({"type": "integer", "default": 3}), &[]);
    property(
        json!({"type": "integer", "default": "x"}),
        &["x.default: Invalid value: \"string\":  in body must be of type integer: \"string\""],
    );
    property(
        json!({"type": "object", "default": {"b": 1}, "properties": {"a": {"type": "string"}}}),
        &["x.default: Invalid value: {\"b\":1}: must not have unknown fields"],
    );
    let embedded = |metadata: Value| {
        json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"metadata": {"type": "object", "default": metadata}}})
    };
    property(embedded(json!({"name": "a"})), &[]);
    property(
        embedded(json!({"name": "a/b"})),
        &[
            "x.properties[metadata].default: Invalid value: {\"name\":\"a/b\"}: must result in valid metadata: metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ],
    );
    let mut top = plain();
    top["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"] =
        json!({"type": "object", "properties": {"name": {"type": "string", "default": "x"}}});
    compare(
        &told(&spec::validate_create(&top)),
        &[
            "spec.validation.openAPIV3Schema.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata",
        ],
    );
}

#[test]
fn different_versions_are_told_apart() {
    let mut one = plain();
    let second = json!({"name": "v2", "served": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}}});
    one["spec"]["versions"].as_array_mut().expect("a list").push(second);
    compare(
        &told(&spec::validate_create(&one)),
        &[
            "spec.versions[1].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields",
        ],
    );
}

#[test]
fn updates_keep_what_is_served() {
    let old = {
        let mut old = plain();
        old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
        old
    };
    let change = |change: &dyn Fn(&mut Value), want: &[&str]| {
        let mut new = old.clone();
        change(&mut new);
        compare(&told(&update::validate_update(&new, &old)), want);
    };
    change(&|_| {}, &[]);
    change(
        &|c| {
            c["spec"]["scope"] = "Cluster".into();
            c["spec"]["names"]["kind"] = "Bar".into();
            c["spec"]["names"]["plural"] = "bars".into();
        },
        &[
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
            "spec.names.kind: Invalid value: \"Bar\": field is immutable",
            "spec.names.plural: Invalid value: \"bars\": field is immutable",
        ],
    );
    // Old faults are not held against a definition.
    let mut bad = plain();
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["s"] =
        json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}});
    assert!(!spec::validate_create(&bad).is_empty());
    assert_eq!(told(&update::validate_update(&bad, &bad)), Vec::<String>::new());
}

#[test]
fn expressions_are_checked() {
    let rules = |rules: Value| json!({"type": "string", "maxLength": 10, "x-kubernetes-validations": rules});
    property(rules(json!([{"rule": "self.startsWith('a')", "message": "a first"}])), &[]);
    property(
        rules(json!([{"rule": "self > 3"}])),
        &["x.x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self \\u003e 3\""],
    );
    let got = {
        let one = crd(
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.nope == 1"}, {"rule": "'x'"}, {"rule": "true", "messageExpression": "1"}]}),
        );
        told(&spec::validate_create(&one))
    };
    assert_eq!(got.len(), 3, "{got:#?}");
    assert!(got[0].contains("compilation failed: ERROR: <input>:1:5: undefined field 'nope'"), "{}", got[0]);
    assert!(got[1].ends_with(": cel expression must evaluate to a bool"), "{}", got[1]);
    assert!(
        got[2].contains("[2].messageExpression: Invalid value: ")
            && got[2].ends_with("messageExpression must evaluate to a string"),
        "{}",
        got[2]
    );
    property(
        rules(json!([{"rule": "self == 'a'", "optionalOldSelf": true}])),
        &[
            "x.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ],
    );
    property(
        json!({"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 3, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}),
        &[
            "x.items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within x",
        ],
    );
}

#[test]
fn dear_rules_are_refused() {
    let nested = |bound: Value| {
        let mut list = json!({"type": "array", "items": {"type": "string", "maxLength": 5},
            "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, a == b || a != b))"}]});
        if !bound.is_null() {
            list["maxItems"] = bound;
        }
        list
    };
    property(nested(json!(10)), &[]);
    property(
        nested(Value::Null),
        &[
            "x.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
            "x.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
            "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x",
        ],
    );
    // Of what is computed upstream knows the size of nothing but the object itself (Istio's ServiceEntry).
    property(
        json!({"type": "object",
            "properties": {"addresses": {"type": "array", "maxItems": 256, "items": {"type": "string", "maxLength": 64}}},
            "x-kubernetes-validations": [
                {"rule": "!(has(self.addresses) ? self.addresses : []).exists(k, k.contains('/'))"}]}),
        &[],
    );
    // A rule that did not change may stay as dear as it was.
    let old = crd(json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "x": {"type": "array", "items": {"type": "string", "maxLength": 5, "x-kubernetes-validations": [{"rule": "self.matches('a+b+c+')"}]}}}}}}));
    let refused = told(&spec::validate_create(&old));
    let again = told(&update::validate_update(&old, &old));
    assert!(again.len() < refused.len() || refused.is_empty(), "{refused:#?} {again:#?}");
}
