//! A custom resource from definition to stored object.

use std::sync::Arc;

use jiff::Timestamp;
use oarlock_api::{FieldErrors, User};
use oarlock_apiserver_custom::{CustomVersion, Scale, compile};
use oarlock_apiserver_kinds::Context;
use serde_json::{Value, json};

fn definition() -> Value {
    json!({"metadata": {"name": "foos.example.com", "uid": "u"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList", "shortNames": ["fo"], "categories": ["all"]},
        "versions": [{"name": "v1", "served": true, "storage": true, "deprecated": true,
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
            "additionalPrinterColumns": [
                {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
                {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
            "selectableFields": [{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.replicas"}],
            "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {
                "spec": {"type": "object", "required": ["color"], "properties": {
                    "color": {"type": "string", "enum": ["red", "blue"]}, "replicas": {"type": "integer", "default": 1},
                    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}},
                "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}},
            }}},
        }, {"name": "v2beta1", "served": true, "schema": {"openAPIV3Schema": {"type": "object"}}}, {"name": "v0"}],
    }, "status": {"conditions": [{"type": "Established", "status": "True"}]}})
}

fn version() -> Arc<CustomVersion> {
    compile(&definition()).expect("the definition is whole").versions[0].clone()
}

fn foo(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a", "namespace": "n"}, "spec": spec})
}

fn with_context<T>(subresource: &str, run: impl FnOnce(&Context<'_>) -> T) -> T {
    let user = User::default();
    run(&Context { now: Timestamp::UNIX_EPOCH, user: &user, namespace: "n", subresource, api_version: "v1" })
}

fn told(errors: &FieldErrors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn create(object: &Value) -> Vec<String> {
    with_context("", |context| told(&version().strategy().validate_create(context, object)))
}

fn update(subresource: &str, new: &Value, old: &Value) -> Vec<String> {
    with_context(subresource, |context| told(&version().strategy().validate_update(context, new, old)))
}

#[test]
fn a_definition_becomes_a_resource() {
    let resource = compile(&definition()).expect("the definition is whole");
    assert_eq!(
        (resource.name.as_str(), resource.uid.as_str(), resource.established),
        ("foos.example.com", "u", true)
    );
    assert_eq!((resource.names.plural.as_str(), resource.names.short_names[0].as_str()), ("foos", "fo"));
    let served: Vec<&str> = resource.served().iter().map(|v| &*v.gvk.version).collect();
    assert_eq!(served, ["v1", "v2beta1"]);
    let first = resource.storage_version();
    assert_eq!(first.deprecation.as_deref(), Some("example.com/v1 Foo is deprecated"));
    let mut newer = definition();
    newer["spec"]["versions"][1] = json!({"name": "v2", "served": true, "schema": {}});
    let told = compile(&newer).expect("the definition is whole").storage_version().deprecation.clone();
    assert_eq!(told.as_deref(), Some("example.com/v1 Foo is deprecated; use example.com/v2 Foo"));
    assert!(first.status && first.scale.is_some() && first.strategy().has_generation());
    assert!(compile(&json!({"spec": {}})).is_err());
}

#[test]
fn a_body_is_taken_in() {
    let mut object = foo(json!({"color": "red", "x": {"y": 1}, "set": null}));
    object["metadata"]["labels"] = json!({"a": "b"});
    object["metadata"]["odd"] = 1.into();
    object["top"] = 1.into();
    let unknown = version().intake(&mut object).expect("it can be read");
    assert_eq!(
        unknown,
        ["unknown field \"metadata.odd\"", "unknown field \"spec.x\"", "unknown field \"top\""]
    );
    assert_eq!(object["spec"], json!({"color": "red", "replicas": 1}));
    assert_eq!(object["metadata"], json!({"name": "a", "namespace": "n", "labels": {"a": "b"}}));
    let mut bad = foo(json!({"color": "red"}));
    bad["metadata"]["labels"] = json!({"a": 1});
    assert_eq!(version().intake(&mut bad.clone()).expect_err("labels are texts").status().code, 400);
    version().from_store(&mut bad);
    assert_eq!(bad["metadata"], json!({"name": "a", "namespace": "n", "generation": 1}));
}

#[test]
fn objects_are_checked() {
    assert_eq!(create(&foo(json!({"color": "red"}))), Vec::<String>::new());
    assert_eq!(
        create(&foo(json!({"color": "green", "replicas": "x", "set": ["a", "a"]}))),
        [
            "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
            "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
            ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64",
            "spec.set[1]: Duplicate value: \"a\"",
        ]
    );
    assert_eq!(
        create(&json!({"apiVersion": "example.com/v2", "kind": "Bar", "metadata": {"name": "a"}})),
        [
            "kind: Invalid value: \"Bar\": must be Foo",
            "apiVersion: Invalid value: \"example.com/v2\": must be example.com/v1"
        ]
    );
    assert_eq!(create(&foo(json!({}))), ["spec.color: Required value"]);
    let mut unnamed = foo(json!({"color": "red"}));
    unnamed["metadata"]["name"] = "A".into();
    assert!(
        create(&unnamed)[0]
            .starts_with("metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain")
    );
}

#[test]
fn updates_forgive_what_stays() {
    let old = foo(json!({"color": "green", "replicas": 1, "set": ["a", "a"]}));
    let mut new = old.clone();
    new["spec"]["replicas"] = 2.into();
    assert_eq!(update("", &new, &old), Vec::<String>::new());
    new["spec"]["color"] = "black".into();
    assert_eq!(
        update("", &new, &old),
        ["spec.color: Unsupported value: \"black\": supported values: \"red\", \"blue\""]
    );
    let mut status = old.clone();
    status["status"] = json!({"replicas": "x"});
    assert_eq!(
        update("status", &status, &old),
        [
            "status.replicas: Invalid value: \"string\": replicas in body must be of type integer: \"string\"",
            ".status.replicas: Invalid value: 0: .status.replicas accessor error: x is of the type string, expected int64",
        ]
    );
}

#[test]
fn generations_count_all_but_metadata() {
    let strategy = version().strategy();
    let old = foo(json!({"color": "red"}));
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    assert!(!strategy.generation_changes(&new, &old));
    new["spec"]["color"] = "blue".into();
    assert!(strategy.generation_changes(&new, &old));
    let mut other = old.clone();
    other["data"] = 1.into();
    assert!(strategy.generation_changes(&other, &old));
}

#[test]
fn finalizers_want_a_domain() {
    let mut object = foo(json!({"color": "red"}));
    object["metadata"]["finalizers"] = json!(["mine", "a.b/c", "orphan"]);
    let warnings = with_context("", |context| version().strategy().warnings(context, &object, None));
    assert_eq!(
        warnings,
        [
            "metadata.finalizers: \"mine\": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
        ]
    );
}

#[test]
fn columns_and_fields_are_shown() {
    let mut object = foo(json!({"color": "red", "replicas": 3}));
    object["metadata"]["creationTimestamp"] = "1970-01-01T00:00:00Z".into();
    object["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let now = Timestamp::from_second(300).expect("in range");
    assert_eq!(json!(version().table_cells(&object, now)), json!(["a", "red", 3, "True", "5m"]));
    assert_eq!(json!(version().table_cells(&json!({}), now)), json!([null, null, null, null, null]));
    let mut none = object.clone();
    none["spec"]["color"] = Value::Null;
    assert_eq!(version().table_cells(&none, now)[1], "<no value>", "as Go prints a null");
    let second = version().columns[1].clone();
    assert_eq!((second.name.as_str(), second.priority), ("Replicas", 1));
    let fields = version().strategy().named_fields(&object);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, value.as_str())).collect();
    assert_eq!(fields, [("spec.color", "red"), ("spec.replicas", "3")]);
    let beta = compile(&definition()).expect("whole").versions[1].clone();
    assert_eq!(json!(beta.table_cells(&object, now)), json!(["a", "5m"]));
}

#[test]
fn scales_go_out_and_back() {
    let version = version();
    let scale = version.scale.as_ref().expect("it has one");
    let mut object = foo(json!({"color": "red", "replicas": 3}));
    object["metadata"]["resourceVersion"] = "7".into();
    object["status"] = json!({"replicas": 2, "selector": "a=b"});
    let mut told = scale.get(&object).expect("it says its replicas");
    assert_eq!(
        (&told["spec"], &told["status"]),
        (&json!({"replicas": 3}), &json!({"replicas": 2, "selector": "a=b"}))
    );
    assert_eq!(told["metadata"], json!({"name": "a", "namespace": "n", "resourceVersion": "7"}));
    told["spec"]["replicas"] = 5.into();
    scale.apply(&told, &mut object).expect("specs are objects");
    assert_eq!(object["spec"]["replicas"], 5);
    told["spec"]["replicas"] = (-1).into();
    assert_eq!(
        Scale::validate(&told)[0].to_string(),
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    let silent = scale.get(&foo(json!({"color": "red"}))).expect_err("it does not say");
    assert_eq!(
        silent.message,
        "Internal error occurred: the spec replicas field \".spec.replicas\" does not exist"
    );
}

/// Two hundred definitions of the size of a pod's stay small until they are used.
#[test]
fn definitions_at_rest_are_small() {
    let leaf =
        json!({"type": "string", "description": "What this field is for, in a sentence or two of prose."});
    let fields: serde_json::Map<String, Value> =
        (0..2000).map(|n| (format!("field{n}"), leaf.clone())).collect();
    let mut crd = definition();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] =
        Value::Object(fields);
    let plain = crd.to_string().len();
    let version = compile(&crd).expect("whole").versions[0].clone();
    let packed: usize = format!("{version:?}")
        .split("Packed(")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .expect("it is packed");
    assert!(packed * 8 < plain, "{packed} of {plain}");
}

#[test]
fn rules_are_asked_by_the_strategy() {
    let mut crd = definition();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.color != 'red' || self.replicas < 3", "message": "few reds"}]);
    let strategy = compile(&crd).expect("whole").versions[0].strategy();
    let ask = |new: &Value, old: Option<&Value>| {
        with_context("", |context| match old {
            Some(old) => (
                told(&strategy.validate_update(context, new, old)),
                strategy.warnings(context, new, Some(old)),
            ),
            None => (told(&strategy.validate_create(context, new)), strategy.warnings(context, new, None)),
        })
    };
    let many = foo(json!({"color": "red", "replicas": 9}));
    assert_eq!(ask(&many, None), (vec!["spec: Invalid value: few reds".into()], vec![]));
    // What is wrong in the schema's eyes is told first.
    let (errors, _) = ask(&foo(json!({"color": "black", "replicas": 9})), None);
    assert_eq!(
        errors[1],
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the \
         existing errors to complete validation"
    );
    // A part that stays as it is may stay; it is warned of, once.
    let mut labelled = many.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let warned = vec!["spec: Invalid value: few reds".to_string()];
    assert_eq!(ask(&labelled, Some(&many)), (vec![], warned));
    let again = with_context("", |context| strategy.warnings(context, &labelled, Some(&many)));
    assert_eq!(again, Vec::<String>::new());
}
