//! No definition and no object, however odd, breaks anything.

use jiff::Timestamp;
use oarlock_api::User;
use oarlock_apiserver_custom::{JsonPath, compile, definition_strategy, plan_status};
use oarlock_apiserver_kinds::Context;
use proptest::prelude::*;
use serde_json::{Value, json};

const WORDS: [&str; 40] = [
    "type",
    "properties",
    "items",
    "additionalProperties",
    "default",
    "nullable",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "enum",
    "required",
    "pattern",
    "format",
    "maxLength",
    "minLength",
    "maximum",
    "minimum",
    "multipleOf",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "rule",
    "messageExpression",
    "fieldPath",
    "metadata",
    "kind",
    "spec",
    "a",
    "b",
    "apiVersion",
];
const TEXTS: [&str; 22] = [
    "object",
    "array",
    "string",
    "integer",
    "number",
    "boolean",
    "set",
    "map",
    "atomic",
    "a",
    "b",
    "^a+$",
    "[",
    "date-time",
    "int32",
    "ipv4",
    "self.a == oldSelf.a",
    "self.all(x, x > 1)",
    "true",
    ".a['b']",
    "",
    "ä\u{0}",
];

fn any_json(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..40).prop_map(Value::from),
        any::<f64>().prop_map(|float| json!(float)),
        prop::sample::select(TEXTS.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 64, 6, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::btree_map(prop::sample::select(WORDS.to_vec()).prop_map(str::to_string), inner, 0..7)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn definition(schema: Value, extra: Value) -> Value {
    json!({"metadata": {"name": "foos.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "conversion": extra,
        "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema}, "selectableFields": [{"jsonPath": ".spec.a"}]}],
    }, "status": {"storedVersions": ["v1"]}})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn odd_schemas_and_objects_are_only_refused(schema in any_json(6), extra in any_json(2), object in any_json(5), old in any_json(5)) {
        let mut schema = schema;
        if schema.is_object() {
            schema["type"] = "object".into();
        }
        let crd = definition(schema, extra);
        let user = User::default();
        let context = Context { now: Timestamp::UNIX_EPOCH, user: &user, namespace: "n", subresource: "", api_version: "v1" };
        let strategy = definition_strategy();
        strategy.validate_create(&context, &crd);
        strategy.validate_update(&context, &crd, &crd);
        strategy.warnings(&context, &crd, None);
        plan_status(&crd, [&crd], Timestamp::UNIX_EPOCH);
        let version = compile(&crd).expect("names and versions are good").versions[0].clone();
        let (mut object, mut old) = (object, old);
        for one in [&mut object, &mut old] {
            if one.is_object() {
                one["apiVersion"] = "example.com/v1".into();
                one["kind"] = "Foo".into();
            }
            // What cannot be read is refused; what was read until then is checked all the same.
            let _ = version.intake(one);
        }
        let custom = version.strategy();
        custom.validate_create(&context, &object);
        custom.validate_update(&context, &object, &old);
        custom.table_cells(&object, Timestamp::UNIX_EPOCH);
        custom.named_fields(&object);
    }

    #[test]
    fn odd_paths_are_only_refused(text in "[.\\[\\]@$?()*:,'\"a-c0-9<>= \\\\-]{0,24}", object in any_json(4)) {
        if let Ok(path) = JsonPath::parse(&text) {
            path.find(&object);
        }
    }
}
