use proptest::prelude::*;
use serde_json::json;

use super::*;

fn merge(kind: &str, original: &Value, patch: &Value) -> Result<Value, PatchError> {
    let table = Table::builtin();
    let ty = table.type_named(&format!("io.k8s.api.core.v1.{kind}")).expect("the table knows the core kinds");
    strategic_merge(table, ty, original, patch)
}

fn check(kind: &str, original: Value, patch: Value, expected: Value) {
    assert_eq!(merge(kind, &original, &patch), Ok(expected), "{original} + {patch}");
}

fn check_fault(kind: &str, original: Value, patch: Value, expected: &str, code: u16) {
    let error = merge(kind, &original, &patch).expect_err("the patch is bad");
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(error.to_status().code, code, "{error}");
}

#[test]
fn lists_merge_by_key() {
    check(
        "PodSpec",
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}),
        json!({"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}),
    );
    // Without a merge strategy a list is replaced.
    check(
        "PodSpec",
        json!({"containers": [{"name": "a", "args": ["x", "y"]}], "tolerations": [{"key": "a"}]}),
        json!({"containers": [{"name": "a", "args": ["z"]}], "tolerations": [{"key": "b"}]}),
        json!({"containers": [{"name": "a", "args": ["z"]}], "tolerations": [{"key": "b"}]}),
    );
    check(
        "ServiceSpec",
        json!({"ports": [{"port": 80, "name": "a"}], "selector": {"x": "y", "z": "w"}}),
        json!({"ports": [{"port": 80, "nodePort": 30000}], "selector": {"z": null}}),
        json!({"ports": [{"port": 80, "name": "a", "nodePort": 30000}], "selector": {"x": "y"}}),
    );
}

#[test]
fn directives_replace_and_delete() {
    let two = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]});
    check(
        "PodSpec",
        two.clone(),
        json!({"containers": [{"name": "a", "$patch": "delete"}]}),
        json!({"containers": [{"name": "b", "image": "1"}]}),
    );
    check(
        "PodSpec",
        two.clone(),
        json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
        json!({"containers": [{"name": "c"}]}),
    );
    check(
        "PodSpec",
        json!({"securityContext": {"runAsUser": 1}, "nodeSelector": {"a": "b"}}),
        json!({"securityContext": {"$patch": "replace", "runAsGroup": 2}, "nodeSelector": {"$patch": "delete"}}),
        json!({"securityContext": {"runAsGroup": 2}, "nodeSelector": {}}),
    );
    check(
        "PodSpec",
        json!({}),
        json!({"containers": [{"name": "a", "$patch": "delete"}]}),
        json!({"containers": []}),
    );
}

#[test]
fn retain_keys_clears_the_rest() {
    check(
        "PodSpec",
        json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
    );
    // Where there is nothing to clear, upstream leaves the directive, which is then an unknown field.
    let anew = json!({"volumes": [{"name": "v", "$retainKeys": ["name"], "$patch": "replace"}, {"name": "w", "$retainKeys": ["name"]}]});
    check("PodSpec", json!({}), anew, json!({"volumes": [{"name": "w", "$retainKeys": ["name"]}]}));
    check_fault(
        "PodSpec",
        json!({}),
        json!({"$retainKeys": ["a"], "b": 1}),
        "invalid patch format of retainKeys",
        400,
    );
}

#[test]
fn finalizers_merge_and_go() {
    let table = Table::builtin();
    let ty = table.type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").expect("it exists");
    let cases = [
        (
            json!({"finalizers": ["a", "b"]}),
            json!({"finalizers": ["c", "a"]}),
            json!({"finalizers": ["c", "a", "b"]}),
        ),
        (
            json!({"finalizers": ["a", "b", "c"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["b"]}),
            json!({"finalizers": ["a", "c"]}),
        ),
        (
            json!({"finalizers": ["a", "b"]}),
            json!({"$setElementOrder/finalizers": ["c", "a"], "finalizers": ["c"]}),
            json!({"finalizers": ["c", "a", "b"]}),
        ),
        (json!({}), json!({"$deleteFromPrimitiveList/finalizers": ["b"]}), json!({})),
    ];
    for (original, patch, expected) in cases {
        assert_eq!(strategic_merge(table, ty, &original, &patch), Ok(expected), "{original} + {patch}");
    }
}

#[test]
fn the_element_order_is_kept() {
    let names = |names: &[&str]| Value::Array(names.iter().map(|n| json!({"name": n})).collect());
    check(
        "PodSpec",
        json!({"containers": names(&["a", "b", "c", "d"])}),
        json!({"$setElementOrder/containers": names(&["d", "a"])}),
        json!({"containers": names(&["b", "c", "d", "a"])}),
    );
    check(
        "PodSpec",
        json!({"containers": names(&["a", "b"])}),
        json!({"$setElementOrder/containers": names(&["c", "b"]), "containers": [{"name": "c"}, {"name": "a", "$patch": "delete"}]}),
        json!({"containers": names(&["c", "b"])}),
    );
    check_fault(
        "PodSpec",
        json!({"containers": names(&["a"])}),
        json!({"$setElementOrder/containers": names(&["a", "b"]), "containers": names(&["b", "a"])}),
        "The order in patch list:\n[map[name:b] map[name:a]]\n doesn't match $setElementOrder list:",
        500,
    );
}

/// What kubectl apply sent for an image changed and a container removed.
#[test]
fn a_patch_of_kubectl_applies() {
    let table = Table::builtin();
    let ty = table.type_of("apps", "v1", "Deployment").expect("it exists");
    let live = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [
        {"name": "a", "image": "x:1", "imagePullPolicy": "Always"}, {"name": "b", "image": "y"},
        {"name": "injected", "image": "z"}]}}}});
    let patch = json!({"spec": {"replicas": 2, "template": {"spec": {
        "$setElementOrder/containers": [{"name": "a"}],
        "containers": [{"image": "x:2", "name": "a"}, {"$patch": "delete", "name": "b"}]}}}});
    let expected = json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [
        {"name": "a", "image": "x:2", "imagePullPolicy": "Always"}, {"name": "injected", "image": "z"}]}}}});
    assert_eq!(strategic_merge(table, ty, &live, &patch), Ok(expected));
}

#[test]
fn faults_are_upstreams() {
    let one = json!({"containers": [{"name": "a"}], "volumes": []});
    check_fault(
        "PodSpec",
        one.clone(),
        json!({"containers": [{"image": "x"}]}),
        "map: map[image:x] does not contain declared merge key: name",
        500,
    );
    check_fault("PodSpec", one.clone(), json!({"$patch": "fly"}), "unknown patch type: fly in map:", 500);
    check_fault(
        "PodSpec",
        one.clone(),
        json!({"containers": [["x"]]}),
        "list element types are not identical",
        500,
    );
    check_fault("PodSpec", one.clone(), json!([]), "invalid JSON document", 400);
    check_fault(
        "PodSpec",
        one,
        json!({"$deleteFromPrimitiveList": ["x"]}),
        "invalid patch format of primitive list",
        400,
    );
}

#[test]
fn directives_apply_wherever_they_stand() {
    // Primitive lists lose their duplicates; null for the parallel list deletes the list.
    let table = Table::builtin();
    let ty = table.type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").expect("it exists");
    for (original, patch, expected) in [
        (
            json!({"finalizers": ["a", "a", "b"]}),
            json!({"finalizers": ["c"]}),
            Ok(json!({"finalizers": ["c", "a", "b"]})),
        ),
        (json!({"finalizers": ["a"]}), json!({"$deleteFromPrimitiveList/finalizers": null}), Ok(json!({}))),
        (
            json!({"labels": {"a": "b"}}),
            json!({"labels": {"$patch": "replace", "c": "d"}}),
            Ok(json!({"labels": {"c": "d"}})),
        ),
        (json!({}), json!({"labels": {"$patch": "replace", "c": "d"}}), Ok(json!({}))),
        (
            json!({"finalizers": ["a"]}),
            json!({"$setElementOrder/finalizers": ["b"], "finalizers": ["c"]}),
            Err("The order in patch list:\n[c]\n doesn't match $setElementOrder list:\n[b]\n"),
        ),
        (
            json!({"finalizers": ["a"]}),
            json!({"$setElementOrder/finalizers": 1}),
            Err("expected a []interface {}, but received a int64"),
        ),
        (json!({}), json!({"$setElementOrder": []}), Err("invalid patch format of setElementOrder list")),
        (
            json!({"ownerReferences": [{"uid": "1"}]}),
            json!({"ownerReferences": [{"uid": "1", "$patch": "fly"}]}),
            Err("unknown patch type: fly in map: map[$patch:fly uid:1]"),
        ),
        (
            json!({"ownerReferences": [{"uid": "1"}]}),
            json!({"ownerReferences": [{"uid": "1", "$patch": "merge"}]}),
            Err("merging lists cannot yet be specified in the patch"),
        ),
    ] {
        let got = strategic_merge(table, ty, &original, &patch).map_err(|error| error.to_string());
        assert_eq!(got, expected.map_err(str::to_string), "{original} + {patch}");
    }
    let revision = table.type_of("apps", "v1", "ControllerRevision").expect("it exists");
    let hidden = strategic_merge(
        table,
        revision,
        &json!({"data": {"a": {"b": 1}}}),
        &json!({"data": {"a": {"b": 2}}}),
    );
    assert_eq!(
        hidden.expect_err("nothing merges there").to_string(),
        "unable to find api field in struct RawExtension for the json field \"a\""
    );
}

#[test]
fn long_lists_merge_in_no_more_than_their_length() {
    let items = |value: &str| -> Vec<Value> {
        (0..20_000).map(|at| json!({"name": format!("e{at}"), "value": value})).collect()
    };
    let of = |env: Vec<Value>| json!({"containers": [{"name": "a", "env": env}]});
    let merged = merge("PodSpec", &of(items("1")), &of(items("2").into_iter().rev().collect()))
        .expect("it is a patch");
    assert_eq!(merged["containers"][0]["env"].as_array().map(Vec::len), Some(20_000));
    assert_eq!(merged["containers"][0]["env"][0], json!({"name": "e19999", "value": "2"}));
}

/// The patch that turns one list of named things into another, as kubectl writes it.
fn diff_items(from: &Value, to: &Value, inner: &str) -> (Vec<Value>, Vec<Value>) {
    let items = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let (from, to) = (items(from), items(to));
    let named = |list: &[Value], name: &Value| list.iter().find(|item| item["name"] == *name).cloned();
    let mut patch = Vec::new();
    for item in &to {
        let Some(old) = named(&from, &item["name"]) else {
            patch.push(item.clone());
            continue;
        };
        let mut change = json!({"name": item["name"]});
        for field in ["image", "value"] {
            if old.get(field) != item.get(field) {
                change[field] = item.get(field).cloned().unwrap_or(Value::Null);
            }
        }
        if !inner.is_empty() && old.get(inner) != item.get(inner) {
            let (list, order) = diff_items(&old[inner], &item[inner], "");
            change[inner] = Value::Array(list);
            change[format!("$setElementOrder/{inner}")] = Value::Array(order);
        }
        patch.push(change);
    }
    for item in from.iter().filter(|item| named(&to, &item["name"]).is_none()) {
        patch.push(json!({"name": item["name"], "$patch": "delete"}));
    }
    (patch, to.iter().map(|item| json!({"name": item["name"]})).collect())
}

fn any_spec() -> impl Strategy<Value = Value> {
    let container =
        ("[a-d]", prop::option::of("[x-z]"), prop::collection::vec("[e-g]", 0..3)).prop_map(|(n, i, env)| {
            let env: std::collections::BTreeSet<String> = env.into_iter().collect();
            let env: Vec<Value> = env.into_iter().map(|n| json!({"name": n, "value": "v"})).collect();
            let mut container = json!({"name": n, "env": env});
            if let Some(image) = i {
                container["image"] = image.into();
            }
            container
        });
    prop::collection::vec(container, 0..4).prop_map(|mut containers| {
        containers.sort_by_key(|c| c["name"].to_string());
        containers.dedup_by_key(|c| c["name"].to_string());
        json!({"containers": containers})
    })
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(original in any_spec(), patch in any_spec()) {
        let once = merge("PodSpec", &original, &patch).expect("well formed patches apply");
        let twice = merge("PodSpec", &once, &patch).expect("well formed patches apply");
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_difference_is_a_patch(original in any_spec(), wanted in any_spec(), seed in any::<u64>()) {
        // Any order will do.
        let mut wanted = wanted;
        if let Some(list) = wanted["containers"].as_array_mut() && !list.is_empty() {
            let middle = usize::try_from(seed % list.len() as u64).expect("a small number");
            list.rotate_left(middle);
        }
        let (list, order) = diff_items(&original["containers"], &wanted["containers"], "env");
        let patch = json!({"containers": list, "$setElementOrder/containers": order});
        let patched = merge("PodSpec", &original, &patch).expect("it is a patch");
        prop_assert_eq!(patched, wanted, "{}", patch);
    }
}
