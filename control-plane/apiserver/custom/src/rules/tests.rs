use serde_json::json;

use super::*;

/// What the rules of a schema tell: errors, then warnings.
fn ask(schema: &Value, new: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = Structural::read(schema);
    let rules = Rules::compile(&schema).expect("there are rules");
    let correlated = old.map(|old| Correlated { schema: &schema, new, old });
    let answer = rules.check(&Path::root(), new, old, correlated, RUNTIME_BUDGET);
    let warnings = answer.forgiven.into_iter().map(|told| format!("warning: {told}"));
    answer.errors.iter().map(ToString::to_string).chain(warnings).collect()
}

/// A schema whose spec has these rules.
fn with(rules: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": rules, "properties": {
        "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string", "maxLength": 20},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    }}}})
}

fn check(rules: Value, new: Value, old: Option<Value>, want: &[&str]) {
    let (new, old) = (json!({ "spec": new }), old.map(|old| json!({ "spec": old })));
    assert_eq!(ask(&with(rules.clone()), &new, old.as_ref()), want, "{rules}");
}

#[test]
fn rules_say_no_in_upstreams_words() {
    let rule = json!([{"rule": "self.min <= self.max"}]);
    check(rule.clone(), json!({"min": 1, "max": 2}), None, &[]);
    check(
        rule.clone(),
        json!({"min": 3, "max": 2}),
        None,
        &["spec: Invalid value: failed rule: self.min <= self.max"],
    );
    check(
        rule,
        json!({"min": 3}),
        None,
        &["spec: Invalid value: \"object\": no such key: max evaluating rule: self.min <= self.max"],
    );
    check(
        json!([{"rule": "self.min <= self.max", "message": "min is too great", "reason": "FieldValueForbidden", "fieldPath": ".min"}]),
        json!({"min": 3, "max": 2}),
        None,
        &["spec.min: Forbidden: min is too great"],
    );
    check(
        json!([{"rule": "self.min <= self.max", "messageExpression": "\"min \" + string(self.min) + \" > \" + string(self.max)", "reason": "FieldValueRequired"}]),
        json!({"min": 3, "max": 2}),
        None,
        &["spec: Required value: min 3 > 2"],
    );
    check(
        json!([{"rule": "false", "messageExpression": "' '", "message": "plain"}]),
        json!({}),
        None,
        &["spec: Invalid value: plain"],
    );
    check(
        json!([{"rule": "!('a' in self.labels)", "fieldPath": ".labels['a']"}]),
        json!({"labels": {"a": "b"}}),
        None,
        &["spec.labels[a]: Invalid value: failed rule: !('a' in self.labels)"],
    );
}

#[test]
fn transitions_need_an_old_value() {
    let rule = json!([{"rule": "self.name == oldSelf.name", "message": "the name stays"}]);
    check(rule.clone(), json!({"name": "a"}), None, &[]);
    check(rule.clone(), json!({"name": "a"}), Some(json!({"name": "a"})), &[]);
    check(rule, json!({"name": "b"}), Some(json!({"name": "a"})), &["spec: Invalid value: the name stays"]);
    let optional = json!([{"rule": "oldSelf.hasValue() || self.name == 'first'", "optionalOldSelf": true}]);
    check(optional.clone(), json!({"name": "first"}), None, &[]);
    check(optional.clone(), json!({"name": "x"}), Some(json!({"name": "y"})), &[]);
    check(
        optional,
        json!({"name": "x"}),
        None,
        &["spec: Invalid value: failed rule: oldSelf.hasValue() || self.name == 'first'"],
    );
}

#[test]
fn items_of_maps_find_their_old_selves() {
    let schema = json!({"type": "object", "properties": {"list": {"type": "array",
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "no way back"}]}}}});
    let old = json!({"list": [{"k": "a", "v": 1}, {"k": "b", "v": 5}]});
    let new = json!({"list": [{"k": "b", "v": 4}, {"k": "a", "v": 2}, {"k": "c", "v": 0}]});
    assert_eq!(ask(&schema, &new, Some(&old)), ["list[0]: Invalid value: no way back"]);
}

#[test]
fn what_did_not_change_is_warned_of() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "object", "properties": {"n": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 3", "message": "small"}]}}},
        "list": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 3"}]}},
        "b": {"type": "string"},
    }});
    let old = json!({"a": {"n": 9}, "list": [9], "b": "x"});
    let mut new = old.clone();
    new["b"] = "y".into();
    assert_eq!(
        ask(&schema, &new, Some(&old)),
        [
            "warning: a.n: Invalid value: 9: small",
            "warning: list[0]: Invalid value: 9: failed rule: self < 3"
        ]
    );
    new["a"]["n"] = 8.into();
    new["list"] = json!([9, 1]);
    assert_eq!(
        ask(&schema, &new, Some(&old)),
        ["a.n: Invalid value: 8: small", "list[0]: Invalid value: 9: failed rule: self < 3"]
    );
}

#[test]
fn a_budget_ends_the_asking() {
    let schema = Structural::read(&with(
        json!([{"rule": "self.labels.all(k, self.labels.all(l, k != l || k == l))"}]),
    ));
    let rules = Rules::compile(&schema).expect("there are rules");
    let labels: serde_json::Map<String, Value> = (0..100).map(|n| (format!("k{n}"), "v".into())).collect();
    let object = json!({"spec": {"labels": labels}});
    let answer = rules.check(&Path::root(), &object, None, None, 1000);
    assert_eq!(answer.left, 0);
    assert_eq!(
        answer.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "spec: Invalid value: \"object\": validation failed due to running out of cost budget, no further validation rules will be run"
        ]
    );
    assert!(rules.check(&Path::root(), &object, None, None, RUNTIME_BUDGET).errors.is_empty());
}

#[test]
fn factors_are_told_as_upstream_does() {
    let factor = |cost: u64| {
        let told = cost_message("estimated rule cost", cost, 10_000_000);
        told.split(" (").next().unwrap_or_default().to_string()
    };
    assert_eq!(factor(10_100_000), "estimated rule cost exceeds budget by factor of 1.010000x");
    assert_eq!(factor(25_000_000), "estimated rule cost exceeds budget by factor of 2.5x");
    assert_eq!(factor(u64::MAX), "estimated rule cost exceeds budget by factor of more than 100x");
}
