//! Volumes, claims, classes, drivers.

use super::*;

fn claim(spec: Value) -> Value {
    let mut object = named(
        "v1",
        "PersistentVolumeClaim",
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}}),
    );
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

fn volume(spec: Value) -> Value {
    let mut object = named(
        "v1",
        "PersistentVolume",
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}),
    );
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

#[test]
fn claims_are_told_what_is_wrong() {
    check("plain", claim(json!({})), &[]);
    check(
        "modes",
        claim(json!({"accessModes": ["ReadWriteOncePod", "ReadWriteOnce", "Other"]})),
        &[
            "spec.accessModes: Unsupported value: \"Other\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ],
    );
    check(
        "nothing",
        named("v1", "PersistentVolumeClaim", json!({"spec": {}})),
        &[
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
        ],
    );
    check(
        "sizes",
        claim(json!({"resources": {"requests": {"storage": "0"}}})),
        &["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"],
    );
    check(
        "source",
        claim(json!({"dataSourceRef": {"kind": "Thing", "name": "x"}})),
        &[
            "spec.dataSource: Invalid value: \"Thing\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            "spec.dataSourceRef: Invalid value: \"Thing\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ],
    );
    check(
        "two sources",
        claim(
            json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}, "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "y"}}),
        ),
        &["spec: Invalid value: \"spec.dataSource\": must match dataSourceRef"],
    );
}

#[test]
fn claims_grow_once_bound() {
    let bound = |size: &'static str| {
        move |c: &mut Value| {
            c["status"] = json!({"phase": "Bound"});
            c["spec"]["resources"]["requests"]["storage"] = size.into();
        }
    };
    let check_bound = |name: &str, change: &dyn Fn(&mut Value), want: &[&str]| {
        let (mut old, _) = created(claim(json!({"volumeName": "v", "storageClassName": "s"})));
        old["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
        let mut new = old.clone();
        change(&mut new);
        let strategy = strategy_for(&resource_of(&old));
        let got = crate::check::told(&strategy.validate_update(&context(""), &new, &old));
        assert_eq!(got, want, "{name}");
    };
    check_bound("grow", &bound("3Gi"), &[]);
    check_bound("shrink what was not done", &bound("1536Mi"), &[]);
    check_bound(
        "shrink",
        &bound("512Mi"),
        &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
    );
    let frozen = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n";
    check_bound("mode", &|c| c["spec"]["accessModes"] = json!(["ReadWriteMany"]), &[frozen]);
    check_bound("class", &|c| c["spec"]["storageClassName"] = "t".into(), &[frozen]);
    check_bound("attributes", &|c| c["spec"]["volumeAttributesClassName"] = "gold".into(), &[]);
    check_update(
        "grow unbound",
        claim(json!({})),
        |c| c["spec"]["resources"]["requests"]["storage"] = "3Gi".into(),
        &["spec: Forbidden: spec is immutable after creation except resources.requests"],
    );
    check_update("bind", claim(json!({})), |c| c["spec"]["volumeName"] = "v".into(), &[]);
    check_update("late class", claim(json!({})), |c| c["spec"]["storageClassName"] = "s".into(), &[]);
}

#[test]
fn volumes_are_told_what_is_wrong() {
    check("csi", volume(json!({"csi": {"driver": "d.e", "volumeHandle": "h"}})), &[]);
    check("none", volume(json!({})), &["spec: Required value: must specify a volume type"]);
    check(
        "two",
        volume(json!({"hostPath": {"path": "/a"}, "nfs": {"server": "s", "path": "b"}})),
        &["spec.nfs: Forbidden: may not specify more than 1 volume type"],
    );
    check(
        "local",
        volume(json!({"local": {"path": "/a/../b"}})),
        &[
            "spec.local.path: Invalid value: \"/a/../b\": must not contain '..'",
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
        ],
    );
    check(
        "capacity",
        volume(json!({"hostPath": {"path": "/a"}, "capacity": {"cpu": "1"}})),
        &["spec.capacity: Unsupported value: {\"cpu\":\"1\"}: supported values: \"storage\""],
    );
    check(
        "recycled root",
        volume(json!({"hostPath": {"path": "//."}, "persistentVolumeReclaimPolicy": "Recycle"})),
        &["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
    );
    check_update(
        "source",
        volume(json!({"hostPath": {"path": "/a"}})),
        |v| v["spec"]["hostPath"]["path"] = "/b".into(),
        &["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
    );
    check_update(
        "secret to expand",
        volume(json!({"csi": {"driver": "d", "volumeHandle": "h"}})),
        |v| v["spec"]["csi"]["controllerExpandSecretRef"] = json!({"name": "n", "namespace": "s"}),
        &[],
    );
}

#[test]
fn classes_and_drivers_are_told_what_is_wrong() {
    let class = |rest: Value| named("storage.k8s.io/v1", "StorageClass", rest);
    check("plain", class(json!({"provisioner": "Example.com/Disk"})), &[]);
    check(
        "all",
        class(json!({"reclaimPolicy": "Recycle", "volumeBindingMode": "Later", "parameters": {"": "x"},
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}]}]})),
        &[
            "provisioner: Required value",
            "parameters: Invalid value: \"\": field can not be empty.",
            "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
            "volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
            "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
        ],
    );
    check_update(
        "provisioner",
        class(json!({"provisioner": "a.b/c"})),
        |c| c["provisioner"] = "a.b/d".into(),
        &["provisioner: Invalid value: \"a.b/d\": field is immutable"],
    );
    check("driver", named("storage.k8s.io/v1", "CSIDriver", json!({"spec": {}})), &[]);
    check(
        "driver tokens",
        named(
            "storage.k8s.io/v1",
            "CSIDriver",
            json!({"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]}}),
        ),
        &[
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
        ],
    );
    let attachment = |spec: Value| named("storage.k8s.io/v1", "VolumeAttachment", json!({ "spec": spec }));
    let plain = json!({"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}});
    check("attachment", attachment(plain.clone()), &[]);
    check(
        "attachment of nothing",
        attachment(json!({"attacher": "d", "nodeName": "n", "source": {}})),
        &[
            "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ],
    );
    check_update(
        "attachment moved",
        attachment(plain),
        |a| a["spec"]["nodeName"] = "m".into(),
        &["spec: Invalid value: {"],
    );
    check(
        "attributes",
        named("storage.k8s.io/v1", "VolumeAttributesClass", json!({"driverName": "d"})),
        &["parameters: Required value: must contain at least one key/value pair"],
    );
    let node = |count: i64| {
        named(
            "storage.k8s.io/v1",
            "CSINode",
            json!({"spec": {"drivers": [
            {"name": "d", "nodeID": "i", "topologyKeys": ["a/b"], "allocatable": {"count": count}}]}}),
        )
    };
    check_update(
        "more volumes",
        node(1),
        |n| n["spec"]["drivers"][0]["allocatable"]["count"] = 5.into(),
        &[],
    );
    check_update(
        "other id",
        node(1),
        |n| n["spec"]["drivers"][0]["nodeID"] = "j".into(),
        &[
            "spec.drivers: Invalid value: {\"allocatable\":{\"count\":1},\"name\":\"d\",\"nodeID\":\"j\",\"topologyKeys\":[\"a/b\"]}: field is immutable",
        ],
    );
}
