use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::field::Path;

fn violations(schema: Value) -> Vec<String> {
    let found = Structural::parse_at(&schema, &Path::new("schema"));
    found.err().into_iter().flatten().map(|error| error.to_string()).collect()
}

#[test]
fn violations_are_told_in_upstreams_words() {
    let int_or_string = json!([{"type": "integer"}, {"type": "string"}]);
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({"type": "object"}), &[]),
        (json!({}), &["schema.type: Required value: must not be empty at the root"]),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            &["schema.type: Invalid value: \"array\": must be object at the root"],
        ),
        (
            json!({"type": "object", "properties": {"a": {}, "b": {"type": "array"}}}),
            &[
                "schema.properties[a].type: Required value: must not be empty for specified object fields",
                "schema.properties[b].items: Required value: must be specified",
            ],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            &["schema.additionalProperties: Forbidden: must not be used at the root"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"x-kubernetes-int-or-string": true, "anyOf": int_or_string}}}),
            &[],
        ),
        (
            json!({"type": "object", "properties": {"a": {"x-kubernetes-int-or-string": true,
                "allOf": [{"anyOf": int_or_string}, {"maximum": 3}]}}}),
            &[],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"properties": {"a": {"type": "string"}, "b": {}}}]}),
            &[
                "schema.anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
                "schema.properties[b]: Required value: because it is defined in schema.anyOf[0].properties[b]",
            ],
        ),
        (
            json!({"type": "object", "not": {"description": "x", "default": 1, "items": {"nullable": true}}}),
            &[
                "schema.items: Required value: because it is defined in schema.not.items",
                "schema.not.default: Forbidden: must be undefined to be structural",
                "schema.not.description: Forbidden: must be empty to be structural",
                "schema.not.items.nullable: Forbidden: must be false to be structural",
            ],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            &[
                "schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}}}),
            &[],
        ),
        (
            json!({"type": "object", "properties": {"e": {"type": "object", "x-kubernetes-embedded-resource": true}}}),
            &[
                "schema.properties[e].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ],
        ),
        (
            json!({"type": "object", "properties": {"p": {"type": "string", "pattern": "["}}}),
            &[
                "schema.properties[p].pattern: Invalid value: \"[\": must be a valid regular expression, but isn't: error parsing regexp",
            ],
        ),
    ];
    for (schema, want) in cases {
        let got = violations(schema.clone());
        assert_eq!(got.len(), want.len(), "{schema}: {got:#?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.starts_with(want), "{got}\n{want}");
        }
    }
}

fn schema() -> Structural {
    Structural::read(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "default": {"n": 1}, "properties": {
            "n": {"type": "integer", "default": 7},
            "nullable": {"type": "string", "nullable": true, "default": "d"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"b": {"type": "boolean"}}}},
            "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"known": {"type": "object", "properties": {"c": {"type": "string"}}}}},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
        }},
    }}))
}

/// What a list keeps, its items keep; not what stands deeper and is known.
#[test]
fn a_list_that_keeps_what_is_unknown_keeps_it_in_its_items() {
    let schema = Structural::read(&json!({"type": "object", "properties": {"list": {
        "type": "array", "x-kubernetes-preserve-unknown-fields": true,
        "items": {"type": "object", "properties": {"known": {"type": "object"}}},
    }}}));
    let mut object = json!({"list": [{"any": {"thing": 1}, "known": {"x": 1}}], "other": 1});
    assert_eq!(schema.prune(&mut object, true), ["list[0].known.x", "other"]);
    assert_eq!(object, json!({"list": [{"any": {"thing": 1}, "known": {}}]}));
}

#[test]
fn unknown_fields_are_dropped_and_told() {
    let mut object = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "a"}, "extra": 1, "spec": {
        "x": {"deep": 1}, "n": 1, "list": [{"a": "1", "z": 1}, 3], "map": {"k": {"b": true, "y": 1}},
        "raw": {"any": {"thing": 1}, "known": {"c": "1", "d": 2}},
        "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"x": 1}, "spec": {"gone": 1}, "status": {}},
    }});
    let dropped = schema().prune(&mut object, true);
    assert_eq!(
        dropped,
        [
            "extra",
            "spec.list[0].z",
            "spec.map.k.y",
            "spec.pod.spec.gone",
            "spec.pod.status",
            "spec.raw.known.d",
            "spec.x"
        ]
    );
    let want = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "a"}, "spec": {
        "n": 1, "list": [{"a": "1"}, 3], "map": {"k": {"b": true}}, "raw": {"any": {"thing": 1}, "known": {"c": "1"}},
        "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"x": 1}, "spec": {}},
    }});
    assert_eq!(object, want);
}

#[test]
fn defaults_fill_what_is_absent() {
    let check = |given: Value, want: Value| {
        let (schema, mut object) = (schema(), given.clone());
        schema.prune_nulls(&mut object);
        schema.fill_defaults(&mut object);
        assert_eq!(object, want, "{given}");
    };
    check(json!({}), json!({"spec": {"n": 1, "nullable": "d"}}));
    check(json!({"spec": {}}), json!({"spec": {"n": 7, "nullable": "d"}}));
    check(json!({"spec": {"n": null, "nullable": null}}), json!({"spec": {"n": 7, "nullable": null}}));
    check(
        json!({"spec": {"n": 2, "list": [{}, {"a": null}], "map": null}}),
        json!({"spec": {"n": 2, "nullable": "d", "list": [{"a": "x"}, {"a": "x"}]}}),
    );
}

#[test]
fn embedded_metadata_takes_the_common_form() {
    let schema = schema();
    let object =
        json!({"spec": {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "foo": 1}}}});
    let mut good = object.clone();
    let dropped = schema.coerce_embedded(&mut good, Malformed::Refuse).expect("it can be read");
    assert_eq!(dropped, ["spec.pod.metadata.foo"]);
    assert_eq!(good["spec"]["pod"]["metadata"], json!({"name": "x"}));
    let mut bad = object.clone();
    bad["spec"]["pod"]["kind"] = 3.into();
    let told = schema.coerce_embedded(&mut bad, Malformed::Refuse).expect_err("a kind is a text");
    assert_eq!(told.to_string(), "spec.pod.kind: Invalid value: 3: must be a string");
    let mut bad = object;
    bad["spec"]["pod"]["metadata"] = json!({"name": "x", "labels": 3});
    assert!(schema.coerce_embedded(&mut bad.clone(), Malformed::Refuse).is_err());
    assert!(schema.coerce_embedded(&mut bad, Malformed::Drop).is_ok());
    assert_eq!(bad["spec"]["pod"]["metadata"], json!({"name": "x"}));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "spec", "n", "nullable", "list", "map", "raw", "pod", "known", "a", "b", "c", "metadata", "kind", "x",
    ]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_string), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_twice_is_pruning_once(object in value()) {
        let mut once = object;
        schema().prune(&mut once, true);
        let mut twice = once.clone();
        prop_assert!(schema().prune(&mut twice, true).is_empty());
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn defaulting_twice_is_defaulting_once(object in value()) {
        let mut once = object;
        schema().fill_defaults(&mut once);
        let mut twice = once.clone();
        schema().fill_defaults(&mut twice);
        prop_assert_eq!(once, twice);
    }
}
