//! Applying to built-in kinds.

use serde_json::{Value, json};

use super::Bed;
use crate::apply::{LAST_APPLIED, parent_entries, scale_entries};

fn containers(names: &[(&str, &str)]) -> Value {
    let items: Vec<Value> = names.iter().map(|(n, i)| json!({"name": n, "image": i})).collect();
    json!({"spec": {"template": {"spec": {"containers": items}}}})
}

#[test]
fn applying_creates_and_owns_what_is_said() {
    let mut bed = Bed::config_map();
    bed.apply("a", json!({"data": {"x": "1"}, "metadata": {"labels": {"l": "m"}}}));
    bed.expect_owners(&["a Apply 01 .data.x .metadata.labels.l"]);
    assert_eq!(
        bed.live.as_ref().expect("it was written")["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:data": {"f:x": {}}, "f:metadata": {"f:labels": {"f:l": {}}}})
    );
}

#[test]
fn what_is_applied_no_longer_goes() {
    let mut bed = Bed::config_map();
    bed.apply("a", json!({"data": {"x": "1", "y": "1"}}));
    bed.apply("a", json!({"data": {"y": "1"}}));
    bed.expect_body(json!({"data": {"y": "1"}})).expect_owners(&["a Apply 02 .data.y"]);
    // Unless another applier, or an updater, has it too.
    bed.apply("b", json!({"data": {"y": "1", "z": "1"}}));
    bed.put("c", json!({"data": {"y": "1", "z": "1", "w": "1"}}));
    bed.apply("a", json!({}));
    bed.expect_body(json!({"data": {"w": "1", "y": "1", "z": "1"}}));
    bed.apply("b", json!({}));
    bed.expect_body(json!({"data": {"w": "1"}})).expect_owners(&["c Update 04 .data.w"]);
}

#[test]
fn conflicts_read_as_upstreams() {
    let mut bed = Bed::config_map();
    bed.put("kubectl-edit", json!({"data": {"key": "1", "other": "1"}}));
    assert_eq!(
        bed.refused("a", json!({"data": {"key": "2"}})),
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.key"
    );
    assert_eq!(
        bed.refused("a", json!({"data": {"key": "2", "other": "2"}})),
        "Apply failed with 2 conflicts: conflicts with \"kubectl-edit\" using v1:\n- .data.key\n- .data.other"
    );
    bed.apply("b", json!({"data": {"third": "1"}}));
    let error = bed.try_apply("a", json!({"data": {"key": "2", "third": "2"}}), false).expect_err("conflict");
    let status = error.to_status();
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Apply failed with 2 conflicts: conflicts with \"b\":\n- .data.third\nconflicts with \"kubectl-edit\" using \
         v1:\n- .data.key"
    );
    let causes: Vec<_> = status.details.expect("conflicts have details").causes;
    assert_eq!(
        (causes[0].reason.as_str(), causes[0].message.as_str(), causes[0].field.as_str()),
        ("FieldManagerConflict", "conflict with \"b\"", ".data.third")
    );
    assert_eq!(causes[1].message, "conflict with \"kubectl-edit\" using v1");
    bed.force("a", json!({"data": {"key": "2", "third": "2"}}));
    bed.expect_owners(&["a Apply 06 .data.key .data.third", "kubectl-edit Update 01 .data .data.other"]);
}

#[test]
fn the_same_value_is_shared_without_conflict() {
    let mut bed = Bed::config_map();
    bed.apply("a", json!({"data": {"x": "1"}}));
    bed.apply("b", json!({"data": {"x": "1"}}));
    // Nothing changed, so upstream notes no time.
    bed.expect_owners(&["b Apply -- .data.x", "a Apply 01 .data.x"]);
    assert_eq!(
        bed.refused("b", json!({"data": {"x": "2"}})),
        "Apply failed with 1 conflict: conflict with \"a\": .data.x"
    );
    bed.apply("b", json!({}));
    bed.expect_body(json!({"data": {"x": "1"}}));
}

#[test]
fn applying_again_changes_nothing() {
    let mut bed = Bed::deployment();
    let config = json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [
        {"name": "a", "image": "i", "ports": [{"containerPort": 80}], "resources": {}}]}}}});
    bed.apply("a", config.clone());
    let before = bed.live.clone();
    let again = bed.try_apply("a", config, false).expect("no conflict");
    assert!(!again.changed);
    assert_eq!(bed.live, before);
}

#[test]
fn lists_merge_by_key_with_defaults_of_keys() {
    let mut bed = Bed::deployment();
    bed.put("u", containers(&[("a", "1"), ("b", "1")]));
    bed.force("m", containers(&[("b", "2"), ("c", "1")]));
    bed.expect_body(json!({"spec": {"template": {"spec": {"containers": [
        {"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "1"}]}}}}));
    bed.apply("m", containers(&[("c", "1")]));
    // `u` had b before, and still has its name.
    bed.expect_body(json!({"spec": {"template": {"spec": {"containers": [
        {"name": "a", "image": "1"}, {"name": "b"}, {"name": "c", "image": "1"}]}}}}));
    let ports = |items: Value| json!({"spec": {"template": {"spec": {"containers": [{"name": "p", "ports": items}]}}}});
    let mut bed = Bed::deployment();
    bed.apply("m", ports(json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}])));
    assert!(
        bed.owners()[0].contains(".ports[containerPort=80,protocol=\"TCP\"].containerPort"),
        "{:?}",
        bed.owners()
    );
    assert_eq!(
        bed.refused("m", ports(json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]))),
        "failed to create typed patch object (/x; apps/v1, Kind=Deployment): \
         .spec.template.spec.containers[name=\"p\"].ports: duplicate entries for key [containerPort=80,protocol=\"TCP\"]"
    );
}

#[test]
fn items_go_when_nobody_has_them() {
    let mut bed = Bed::deployment();
    bed.apply("a", containers(&[("a", "1"), ("b", "1")]));
    bed.apply("a", containers(&[("b", "1")]));
    bed.expect_body(json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "1"}]}}}}));
    // Sets and atomic lists.
    let mut bed = Bed::config_map();
    bed.apply("a", json!({"metadata": {"finalizers": ["x/a", "x/b"]}}));
    bed.apply("b", json!({"metadata": {"finalizers": ["x/c", "x/a"]}}));
    bed.expect_body(json!({"metadata": {"finalizers": ["x/c", "x/a", "x/b"]}}));
    bed.apply("a", json!({}));
    bed.expect_body(json!({"metadata": {"finalizers": ["x/c", "x/a"]}}));
    bed.expect_owners(&["b Apply 02 .metadata.finalizers[=\"x/a\"] .metadata.finalizers[=\"x/c\"]"]);
}

#[test]
fn atomic_things_are_one() {
    let selector = |v: &str| json!({"spec": {"selector": {"matchLabels": {"a": v}}}});
    let mut bed = Bed::deployment();
    bed.put("u", selector("1"));
    assert!(bed.owners()[0].contains(" .spec.selector"), "{:?}", bed.owners());
    assert_eq!(
        bed.refused("m", selector("2")),
        "Apply failed with 1 conflict: conflict with \"u\" using apps/v1: .spec.selector"
    );
    bed.force("m", json!({"spec": {"selector": {"matchLabels": {"b": "1"}}}}));
    bed.expect_body(json!({"spec": {"selector": {"matchLabels": {"b": "1"}}}}));
}

#[test]
fn unfit_configurations_are_refused_in_upstreams_words() {
    let at =
        |told: &str| format!("failed to create typed patch object (/x; apps/v1, Kind=Deployment): {told}");
    for (body, told) in [
        (json!({"spec": {"foo": 1}}), at(".spec.foo: field not declared in schema")),
        (
            json!({"spec": {"replicas": "1"}}),
            at(".spec.replicas: expected numeric (int or float), got string"),
        ),
        (json!({"spec": []}), at(".spec: expected map, got &{[]}")),
        (
            json!({"spec": {"paused": "no", "replicas": true}}),
            at(
                "errors:\n  .spec.paused: expected boolean, got &{no}\n  .spec.replicas: expected numeric (int or float), got bool",
            ),
        ),
        (
            json!({"metadata": {"labels": {"a": 1}}}),
            at(".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}"),
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}),
            at(
                ".spec.template.spec.containers: element 0: associative list with keys has an element that omits all key \
                fields [\"name\"] (and doesn't have default values for any key fields)",
            ),
        ),
        (json!({"metadata": {"managedFields": []}}), "metadata.managedFields must be nil".to_string()),
        (json!({"kind": "Pod"}), "invalid object type: apps/v1, Kind=Pod".to_string()),
        (json!({"apiVersion": "v1", "kind": "Pod"}), "invalid object type: /v1, Kind=Pod".to_string()),
    ] {
        assert_eq!(Bed::deployment().refused("m", body.clone()), told, "{body}");
    }
}

#[test]
fn untracked_objects_belong_to_before_first_apply() {
    let mut bed = Bed::config_map();
    bed.store(bed.object(json!({"data": {"x": "1", "y": "1"}})));
    assert_eq!(
        bed.refused("m", json!({"data": {"x": "2"}})),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.x"
    );
    bed.apply("m", json!({"data": {"x": "1", "z": "1"}}));
    bed.expect_owners(&["m Apply 02 .data.x .data.z", "before-first-apply Update 02 .data .data.x .data.y"]);
}

#[test]
fn client_side_apply_is_taken_over_by_kubectl() {
    let last = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"x": "1", "y": "1"}});
    let annotations = json!({LAST_APPLIED: last.to_string()});
    let body = |x: &str, y: &str| json!({"metadata": {"annotations": annotations.clone()}, "data": {"x": x, "y": y}});
    let mut bed = Bed::config_map();
    bed.put("kubectl-client-side-apply", body("1", "1"));
    // Another manager is in conflict; kubectl is not.
    assert!(
        bed.refused("other", json!({"data": {"x": "2"}}))
            .contains("conflict with \"kubectl-client-side-apply\"")
    );
    bed.apply("kubectl", json!({"data": {"x": "2"}}));
    let live = bed.live.as_ref().expect("it was written");
    assert_eq!(live["data"], json!({"x": "2", "y": "1"}));
    let kept = live["metadata"]["annotations"][LAST_APPLIED].as_str().expect("the annotation is kept true");
    assert_eq!(
        kept,
        "{\"apiVersion\":\"v1\",\"data\":{\"x\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}\n"
    );
    // What was changed since the client applied is somebody else's.
    let mut bed = Bed::config_map();
    bed.put("kubectl-client-side-apply", body("1", "1"));
    bed.put("edit", body("1", "9"));
    assert_eq!(
        bed.refused("kubectl", json!({"data": {"x": "2", "y": "3"}})),
        "Apply failed with 1 conflict: conflict with \"edit\" using v1: .data.y"
    );
}

#[test]
fn subresources_have_managers_of_their_own() {
    let mut bed = Bed::deployment();
    bed.put("m", json!({"spec": {"replicas": 1}}));
    bed.put_to("m", "status", json!({"spec": {"replicas": 1}, "status": {"replicas": 1}}));
    assert_eq!(bed.owners()[1], "m/status Update 02 .status.replicas");
    assert_eq!(
        bed.refused("a", json!({"status": {"replicas": 5}})),
        "Apply failed with 1 conflict: conflict with \"m\" with subresource \"status\" using apps/v1: .status.replicas"
    );
}

#[test]
fn the_replica_count_is_one_field_with_two_names() {
    let paths: [(&str, Option<&[&str]>); 2] = [("apps/v1", Some(&["spec", "replicas"])), ("apps/v2", None)];
    let mut bed = Bed::deployment();
    bed.apply("a", json!({"spec": {"replicas": 1, "paused": true}}));
    let parent = crate::meta::managed_fields(bed.live.as_ref().expect("it was written")).to_vec();
    let scale = scale_entries(&parent, &paths).expect("they can be read");
    assert_eq!(
        scale,
        [
            json!({"manager": "a", "operation": "Apply", "apiVersion": "autoscaling/v1", "time": "1970-01-01T00:00:01Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}})
        ]
    );
    assert_eq!(parent_entries(&parent, &scale, "apps/v1", &paths), Ok(parent.clone()));
    let hpa = json!({"manager": "hpa", "operation": "Update", "apiVersion": "autoscaling/v1", "fieldsType": "FieldsV1",
        "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}});
    let after = parent_entries(&parent, &[hpa], "apps/v1", &paths).expect("they can be read");
    assert_eq!(after.len(), 2);
    assert_eq!(after[0]["fieldsV1"], json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(after[1]["subresource"], "scale");
    assert_eq!(
        (&after[1]["apiVersion"], &after[1]["fieldsV1"]),
        (&json!("apps/v1"), &json!({"f:spec": {"f:replicas": {}}}))
    );
}

/// What client-go's csaupgrade does: the client-side manager's entry becomes an applier's by a patch of `managedFields`, and
/// the next apply may drop what was only ever applied by the client.
#[test]
fn clients_may_turn_their_own_entry_into_an_appliers() {
    let mut bed = Bed::config_map();
    bed.put("kubectl-client-side-apply", json!({"data": {"x": "1", "y": "1"}}));
    let entry = json!({"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "1970-01-01T00:00:01Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:y": {}, ".": {}, "f:x": {}}}});
    let empty =
        json!({"manager": "gone", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"});
    bed.put("upgrade", json!({"data": {"x": "1", "y": "1"}, "metadata": {"managedFields": [empty, entry]}}));
    bed.expect_owners(&["kubectl Apply 01 .data .data.x .data.y"]);
    bed.apply("kubectl", json!({"data": {"x": "1"}}));
    bed.expect_body(json!({"data": {"x": "1"}})).expect_owners(&["kubectl Apply 03 .data.x"]);
}
