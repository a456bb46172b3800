use serde_json::json;

use super::*;

fn told(schema: &Value, value: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = Structural::read(schema);
    let errors = validate(&schema, &Patterns::of(&schema), value, old, &Path::root());
    errors.iter().map(ToString::to_string).collect()
}

/// One property `x` of the spec.
fn check(property: Value, value: Value, want: &[&str]) {
    let schema =
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": property}}}});
    assert_eq!(told(&schema, &json!({"spec": {"x": value}}), None), want, "{value}");
}

#[test]
fn types_are_told_in_upstreams_words() {
    check(json!({"type": "integer"}), json!(3), &[]);
    check(json!({"type": "integer"}), json!(3.0), &[]);
    check(json!({"type": "number"}), json!(3), &[]);
    check(
        json!({"type": "integer"}),
        json!("3"),
        &["spec.x: Invalid value: \"string\": spec.x in body must be of type integer: \"string\""],
    );
    check(
        json!({"type": "integer"}),
        json!(1.5),
        &[
            "spec.x: Invalid value: \"number\": spec.x in body must be of type integer: \"number\"",
            "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.x",
        ],
    );
    check(
        json!({"type": "string"}),
        json!({"a": 1}),
        &["spec.x: Invalid value: \"object\": spec.x in body must be of type string: \"object\""],
    );
    check(
        json!({"type": "object"}),
        json!(null),
        &["spec.x: Invalid value: \"null\": spec.x in body must be of type object: \"null\""],
    );
    check(json!({"type": "string", "nullable": true}), json!(null), &[]);
    check(json!({"x-kubernetes-int-or-string": true}), json!("80%"), &[]);
    check(
        json!({"x-kubernetes-int-or-string": true}),
        json!(true),
        &["spec.x: Invalid value: \"boolean\": spec.x in body must be of type integer,string: \"boolean\""],
    );
    check(
        json!({"type": "integer", "format": "int32"}),
        json!(true),
        &["spec.x: Invalid value: \"\": spec.x in body must be of type int32: \"\""],
    );
    check(
        json!({"x-kubernetes-int-or-string": true}),
        json!(1.5),
        &["spec.x: Invalid value: \"number\": spec.x in body must be of type integer,string: \"number\""],
    );
    check(
        json!({"type": "integer", "format": "int32"}),
        json!(3_000_000_000_i64),
        &["<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in spec.x"],
    );
}

#[test]
fn values_are_told_in_upstreams_words() {
    check(
        json!({"type": "integer", "maximum": 10, "minimum": 1}),
        json!(11),
        &["spec.x: Invalid value: 11: spec.x in body should be less than or equal to 10"],
    );
    check(
        json!({"type": "number", "minimum": 1.5, "exclusiveMinimum": true}),
        json!(1.5),
        &["spec.x: Invalid value: 1.5: spec.x in body should be greater than 1.5"],
    );
    check(
        json!({"type": "integer", "multipleOf": 5}),
        json!(7),
        &["spec.x: Invalid value: 7: spec.x in body should be a multiple of 5"],
    );
    check(json!({"type": "number", "multipleOf": 0.1}), json!(0.3), &[]);
    check(
        json!({"type": "string", "maxLength": 3}),
        json!("abcd"),
        &["spec.x: Too long: may not be more than 3 bytes"],
    );
    check(json!({"type": "string", "maxLength": 3}), json!("äöü"), &[]);
    check(
        json!({"type": "string", "minLength": 3}),
        json!("a"),
        &["spec.x: Invalid value: \"a\": spec.x in body should be at least 3 chars long"],
    );
    check(
        json!({"type": "string", "pattern": "^a+$"}),
        json!("b"),
        &["spec.x: Invalid value: \"b\": spec.x in body should match '^a+$'"],
    );
    check(
        json!({"type": "string", "enum": ["a", "b"]}),
        json!("c"),
        &["spec.x: Unsupported value: \"c\": supported values: \"a\", \"b\""],
    );
    check(json!({"type": "integer", "enum": [1, 2]}), json!(2), &[]);
    check(
        json!({"type": "string", "nullable": true, "enum": ["a", null]}),
        json!(null),
        &["spec.x: Unsupported value: null: supported values: \"a\", \"null\""],
    );
    check(
        json!({"type": "string", "format": "ipv4"}),
        json!("x"),
        &["spec.x: Invalid value: \"x\": spec.x in body must be of type ipv4: \"x\""],
    );
    check(json!({"type": "string", "format": "unheard-of"}), json!("x"), &[]);
    check(
        json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
        json!(["a", 2]),
        &[
            "spec.x[1]: Invalid value: \"integer\": spec.x[1] in body must be of type string: \"integer\"",
            "spec.x: Too many: 2: must have at most 1 item",
        ],
    );
    check(
        json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
        json!([]),
        &["spec.x: Invalid value: 0: spec.x in body should have at least 1 items"],
    );
    check(
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"], "minProperties": 1}),
        json!({}),
        &[
            "spec.x: Invalid value: 0: spec.x in body should have at least 1 properties",
            "spec.x.a: Required value",
            "spec.x.b: Required value",
        ],
    );
    check(
        json!({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1}),
        json!({"a": 1, "b": "2"}),
        &[
            "spec.x: Too many: 2: must have at most 1 item",
            "spec.x.b: Invalid value: \"string\": spec.x.b in body must be of type integer: \"string\"",
        ],
    );
}

#[test]
fn alternatives_tell_the_nearest_miss() {
    let either = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(either.clone(), json!({"a": 1}), &[]);
    check(
        either.clone(),
        json!({"a": 1, "b": ""}),
        &[
            "<nil>: Invalid value: \"\": \"spec.x\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ],
    );
    check(
        either,
        json!({}),
        &[
            "<nil>: Invalid value: \"\": \"spec.x\" must validate one and only one schema (oneOf). Found none valid",
            "spec.x.a: Required value",
        ],
    );
    check(
        json!({"type": "string", "anyOf": [{"minLength": 3}, {"pattern": "^x"}]}),
        json!("ab"),
        &[
            "<nil>: Invalid value: \"\": \"spec.x\" must validate at least one schema (anyOf)",
            "spec.x: Invalid value: \"ab\": spec.x in body should be at least 3 chars long",
        ],
    );
    check(
        json!({"type": "string", "allOf": [{"minLength": 3}, {"pattern": "^x"}]}),
        json!("xb"),
        &[
            "spec.x: Invalid value: \"xb\": spec.x in body should be at least 3 chars long",
            "<nil>: Invalid value: \"\": \"spec.x\" must validate all the schemas (allOf)",
        ],
    );
    check(
        json!({"type": "string", "not": {"pattern": "^x"}}),
        json!("xb"),
        &["<nil>: Invalid value: \"\": \"spec.x\" must not validate the schema (not)"],
    );
}

#[test]
fn what_did_not_change_is_forgiven() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "a": {"type": "string", "maxLength": 2}, "b": {"type": "string"},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 3}}}},
        "atomic": {"type": "array", "items": {"type": "integer", "maximum": 3}},
    }}}});
    let bad = json!({"spec": {"a": "long", "b": "x", "list": [{"k": "1", "v": 9}, {"k": "2", "v": 1}], "atomic": [9]}});
    let cases: [(Value, &[&str]); 5] = [
        (bad.clone(), &[]),
        (json!({"spec": {"a": "long", "b": "y"}}), &[]),
        (json!({"spec": {"a": "other"}}), &["spec.a: Too long: may not be more than 2 bytes"]),
        (
            json!({"spec": {"list": [{"k": "2", "v": 7}, {"k": "1", "v": 9}]}}),
            &["spec.list[0].v: Invalid value: 7: spec.list[0].v in body should be less than or equal to 3"],
        ),
        (
            json!({"spec": {"atomic": [9, 1]}}),
            &["spec.atomic[0]: Invalid value: 9: spec.atomic[0] in body should be less than or equal to 3"],
        ),
    ];
    for (new, want) in cases {
        assert_eq!(told(&schema, &new, Some(&bad)), want, "{new}");
    }
}

#[test]
fn sets_and_maps_hold_nothing_twice() {
    let schema = Structural::read(&json!({"type": "object", "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"],
            "items": {"type": "object"}},
        "deep": {"type": "object", "additionalProperties": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}}},
    }}));
    let value = json!({
        "set": ["a", "b", "a", "a"], "map": [{"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": 3}], "deep": {"k": [1, 1]},
    });
    let mut errors = FieldErrors::new();
    check_lists(&schema, &value, &Path::root(), &mut errors);
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "deep[k][1]: Duplicate value: 1",
            "map[2]: Duplicate value: {\"a\":1}",
            "set[2]: Duplicate value: \"a\""
        ]
    );
}
