//! Creates, updates and patches.

use serde_json::json;

use super::Bed;
use crate::apply::{Reset, keep_times, manager_or_user_agent, validate_manager};
use crate::field::Path;

#[test]
fn a_created_config_map_is_owned_as_upstream_shows_it() {
    let mut bed = Bed::config_map();
    bed.put("kubectl", json!({"data": {"b": "1", "a": "2"}, "metadata": {"labels": {"x": "y"}}}));
    let live = bed.live.as_ref().expect("it was written");
    assert_eq!(
        live["metadata"]["managedFields"],
        json!([{"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "time": "1970-01-01T00:00:01Z",
            "fieldsType": "FieldsV1", "fieldsV1": {
                "f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}}}])
    );
}

/// What `kubectl create deployment nginx --image=nginx` leaves in a cluster of upstream's: the empty structs of Go are there.
#[test]
fn a_created_deployment_is_owned_as_upstream_shows_it() {
    let mut bed = Bed::deployment();
    let mut object = bed.object(json!({"metadata": {"labels": {"app": "nginx"}}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": "nginx"}},
        "template": {"metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [{"name": "nginx", "image": "nginx"}]}}}}));
    crate::defaults::apply_defaults(&crate::meta::gvk(&object), &mut object);
    bed.put("kubectl-create", object);
    let live = bed.live.as_ref().expect("it was written");
    let fields = &live["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(
        *fields,
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {}, "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {"k:{\"name\":\"nginx\"}": {
                            ".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {},
                            "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}}},
                        "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {},
                        "f:terminationGracePeriodSeconds": {}}}}
        })
    );
}

/// What a kubelet leaves: times that are null are owned, atomic lists are one.
#[test]
fn a_pods_status_is_owned_as_upstream_shows_it() {
    let mut bed = Bed::of("", "v1", "Pod");
    let spec = json!({"containers": [{"name": "c"}]});
    bed.put("u", json!({"spec": spec.clone()}));
    bed.put_to(
        "kubelet",
        "status",
        json!({"spec": spec, "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}],
        "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "image": "", "imageID": ""}]}}),
    );
    let live = bed.live.as_ref().expect("it was written");
    assert_eq!(
        live["metadata"]["managedFields"][1]["fieldsV1"],
        json!({"f:status": {
            "f:conditions": {".": {}, "k:{\"type\":\"Ready\"}": {
                ".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {}}},
            "f:containerStatuses": {}, "f:phase": {},
            "f:podIPs": {".": {}, "k:{\"ip\":\"10.0.0.1\"}": {".": {}, "f:ip": {}}}}})
    );
}

#[test]
fn changes_move_to_who_made_them() {
    let mut bed = Bed::config_map();
    bed.put("a", json!({"data": {"x": "1", "y": "1"}}));
    bed.put("b", json!({"data": {"x": "2", "y": "1", "z": "1"}}));
    bed.expect_owners(&["a Update 01 .data .data.y", "b Update 02 .data.x .data.z"]);
    // A removal is nobody's.
    bed.put("c", json!({"data": {"x": "2"}}));
    bed.expect_owners(&["a Update 01 .data", "b Update 02 .data.x"]);
    // A manager whose last field goes is forgotten.
    bed.put("c", json!({"data": {"x": "3"}}));
    bed.expect_owners(&["a Update 01 .data", "c Update 04 .data.x"]);
}

#[test]
fn an_update_that_changes_nothing_keeps_times() {
    let mut bed = Bed::config_map();
    bed.put("a", json!({"data": {"x": "1"}}));
    let before = bed.live.clone();
    bed.put("b", json!({"data": {"x": "1"}}));
    assert_eq!(bed.live, before);
    bed.put("a", json!({"data": {"x": "1"}, "metadata": {"name": "x"}}));
    assert_eq!(bed.live, before);
}

#[test]
fn sent_entries_count_and_can_be_reset() {
    let mut bed = Bed::config_map();
    bed.put("a", json!({"data": {"x": "1"}}));
    let entry = |m: &str| {
        json!({"manager": m, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:x": {}}}})
    };
    bed.put("b", json!({"data": {"x": "1", "y": "1"}, "metadata": {"managedFields": [entry("z")]}}));
    bed.expect_owners(&["z Update -- .data.x", "b Update 02 .data.y"]);
    // What cannot be read is ignored.
    bed.put("b", json!({"data": {"x": "1", "y": "1"}, "metadata": {"managedFields": [{"manager": "q"}]}}));
    bed.expect_owners(&["z Update -- .data.x", "b Update 02 .data.y"]);
    // Through a subresource nobody sends entries.
    let sent = json!({"data": {"x": "1", "y": "2"}, "metadata": {"managedFields": [entry("q")]}});
    bed.put_to("b", "status", sent);
    bed.expect_owners(&["z Update -- .data.x", "b/status Update 04 .data.y"]);
    for nothing in [json!([]), json!([{}])] {
        let mut bed = Bed::config_map();
        bed.put("a", json!({"data": {"x": "1"}}));
        bed.put("b", json!({"data": {"x": "2"}, "metadata": {"managedFields": nothing}}));
        bed.expect_owners(&[]);
        // And it stays untracked.
        bed.put("b", json!({"data": {"x": "3"}}));
        bed.expect_owners(&[]);
    }
}

#[test]
fn old_updaters_are_merged() {
    let mut bed = Bed::config_map();
    let mut data = serde_json::Map::new();
    for at in 10..22 {
        data.insert(format!("k{at}"), json!("v"));
        bed.put(&format!("m{at}"), json!({"data": data.clone()}));
    }
    let owners = bed.owners();
    assert_eq!(owners.len(), 10, "{owners:?}");
    assert_eq!(owners[0], "ancient-changes Update 03 .data .data.k10 .data.k11 .data.k12");
    assert_eq!(owners[1], "m13 Update 04 .data.k13");
}

#[test]
fn what_an_endpoint_resets_is_not_owned() {
    let mut bed = Bed::deployment();
    bed.reset = Reset::fields(&[&["status"]]);
    bed.put("a", json!({"spec": {"replicas": 1}, "status": {"replicas": 1}}));
    assert!(bed.owners()[0].contains(".spec.replicas") && !bed.owners()[0].contains("status"));
    bed.reset = Reset::all_but(&[&["status", "*"]]);
    bed.put_to("b", "status", json!({"spec": {"replicas": 9}, "status": {"replicas": 2}}));
    assert!(bed.owners()[1].starts_with("b/status Update 02 .status.replicas"), "{:?}", bed.owners());
    assert!(bed.owners()[0].contains(".spec.replicas"));
}

#[test]
fn times_alone_are_no_change() {
    let mut bed = Bed::config_map();
    bed.put("a", json!({"data": {"x": "1"}}));
    let old = bed.live.clone().expect("it was written");
    let mut new = old.clone();
    new["metadata"]["managedFields"][0]["time"] = "2001-01-01T00:00:00Z".into();
    assert!(keep_times(&old, &mut new));
    assert_eq!(old, new);
    new["metadata"]["managedFields"][0]["time"] = "2001-01-01T00:00:00Z".into();
    new["data"]["x"] = "2".into();
    assert!(!keep_times(&old, &mut new));
}

#[test]
fn managers_are_named_by_their_user_agent() {
    for (manager, agent, expected) in [
        ("m", "kubectl/v1.36.0 (linux/amd64)", "m"),
        ("", "kubectl/v1.36.0 (linux/amd64)", "kubectl"),
        ("", "Mozilla 5.0\n/x", "Mozilla 5.0"),
        ("", "", ""),
    ] {
        assert_eq!(manager_or_user_agent(manager, agent), expected);
    }
    assert_eq!(manager_or_user_agent("", &"é".repeat(100)).len(), 128);
    let told: Vec<String> =
        validate_manager("a\nb", &Path::new("fieldManager")).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["fieldManager: Invalid value: \"a\\nb\": should only contain printable characters"]);
    let told = validate_manager(&"a".repeat(129), &Path::new("fieldManager"));
    assert_eq!(told[0].to_string(), "fieldManager: Too long: may not be more than 128 bytes");
}

#[test]
fn who_owns_nothing_is_forgotten_by_a_write_that_changes_nothing() {
    let mut bed = Bed::config_map();
    bed.put("kubectl", json!({"data": {"a": "1"}}));
    let live = bed.live.as_mut().expect("it was written");
    let entries = live["metadata"]["managedFields"].as_array_mut().expect("somebody owns it");
    for (manager, fields) in [("a", Some(json!({}))), ("b", Some(json!({".": {}, "x:": {}}))), ("c", None)] {
        let mut empty = entries[0].clone();
        empty["manager"] = manager.into();
        empty.as_object_mut().expect("an entry").remove("fieldsV1");
        empty.as_object_mut().expect("an entry").extend(fields.map(|fields| ("fieldsV1".into(), fields)));
        entries.push(empty);
    }
    bed.put("kubectl", json!({"data": {"a": "1"}}));
    let live = bed.live.as_ref().expect("it was written");
    let managers: Vec<_> =
        crate::meta::managed_fields(live).iter().filter_map(|entry| entry["manager"].as_str()).collect();
    assert_eq!(managers, ["kubectl"]);
}
