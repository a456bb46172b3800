//! The rows of the core group, but for pods.

use jiff::Timestamp;
use serde_json::Value;

use crate::print::{
    NONE, UNKNOWN, UNSET, age, first_of, joined, labels, load_balancer, name_of, or, since, text_or,
};
use crate::value::{entries, int, is_true, items, quantity, text, texts};

pub(super) fn config_map(map: &Value, now: Timestamp) -> Vec<Value> {
    let count = entries(&map["data"]).count() + entries(&map["binaryData"]).count();
    vec![name_of(map), count.into(), age(map, now)]
}

pub(super) fn secret(secret: &Value, now: Timestamp) -> Vec<Value> {
    vec![name_of(secret), secret["type"].clone(), entries(&secret["data"]).count().into(), age(secret, now)]
}

pub(super) fn namespace(namespace: &Value, now: Timestamp) -> Vec<Value> {
    vec![name_of(namespace), text(&namespace["status"]["phase"]).into(), age(namespace, now)]
}

pub(super) fn endpoints(endpoints: &Value, now: Timestamp) -> Vec<Value> {
    let subsets = items(&endpoints["subsets"]);
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = || items(&subset["addresses"]).iter().map(|a| text(&a["ip"]));
        if items(&subset["ports"]).is_empty() {
            all.extend(addresses().map(str::to_string));
        }
        for port in items(&subset["ports"]) {
            all.extend(addresses().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{}", int(&port["port"])),
                false => format!("{ip}:{}", int(&port["port"])),
            }));
        }
    }
    let told = if subsets.is_empty() { NONE.into() } else { first_of(&all, 3) };
    vec![name_of(endpoints), told.into(), age(endpoints, now)]
}

pub(super) fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let first = match text(&event["firstTimestamp"]) {
        "" => since(&event["eventTime"], now),
        _ => since(&event["firstTimestamp"], now),
    };
    let mut last = match text(&event["lastTimestamp"]) {
        "" => first.clone(),
        _ => since(&event["lastTimestamp"], now),
    };
    let mut count = int(&event["count"]).max(1);
    if event["series"].is_object() {
        last = since(&event["series"]["lastObservedTime"], now);
        count = int(&event["series"]["count"]);
    }
    let about = &event["involvedObject"];
    let mut target = text(&about["kind"]).to_lowercase();
    if !text(&about["name"]).is_empty() {
        target = format!("{target}/{}", text(&about["name"]));
    }
    let component = or(text(&event["source"]["component"]), text(&event["reportingComponent"]));
    let host = or(text(&event["source"]["host"]), text(&event["reportingInstance"]));
    let source = if host.is_empty() { component.to_string() } else { format!("{component}, {host}") };
    vec![
        last.into(),
        text(&event["type"]).into(),
        text(&event["reason"]).into(),
        target.into(),
        text(&about["fieldPath"]).into(),
        source.into(),
        text(&event["message"]).trim().into(),
        first.into(),
        count.into(),
        name_of(event),
    ]
}

pub(super) fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let (status, info) = (&node["status"], &node["status"]["nodeInfo"]);
    let address = |kind: &str| {
        let found = items(&status["addresses"]).iter().find(|a| a["type"] == kind);
        found.map_or(NONE, |a| text(&a["address"]))
    };
    vec![
        name_of(node),
        node_status(node).into(),
        or(&node_roles(node).join(","), NONE).into(),
        age(node, now),
        text(&info["kubeletVersion"]).into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        text_or(&info["osImage"], UNKNOWN),
        match text(&info["architecture"]) {
            "" => text_or(&info["kernelVersion"], UNKNOWN),
            machine => format!("{} ({machine})", or(text(&info["kernelVersion"]), UNKNOWN)).into(),
        },
        text_or(&info["containerRuntimeVersion"], UNKNOWN),
    ]
}

fn node_status(node: &Value) -> String {
    let ready = items(&node["status"]["conditions"]).iter().find(|c| c["type"] == "Ready");
    let mut told = match ready {
        Some(c) if c["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_string();
    if is_true(&node["spec"]["unschedulable"]) {
        told.push_str(",SchedulingDisabled");
    }
    told
}

fn node_roles(node: &Value) -> Vec<&str> {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in entries(&node["metadata"]["labels"]) {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some("") => {}
            Some(role) => roles.push(role),
            None if key == "kubernetes.io/role" && !text(value).is_empty() => roles.push(text(value)),
            None => {}
        }
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

pub(super) fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &service["spec"];
    let port = |port: &Value| {
        let (number, protocol) = (int(&port["port"]), text(&port["protocol"]));
        match int(&port["nodePort"]) {
            0 => format!("{number}/{protocol}"),
            node => format!("{number}:{node}/{protocol}"),
        }
    };
    let ports = items(&spec["ports"]).iter().map(port).collect::<Vec<_>>().join(",");
    vec![
        name_of(service),
        text(&spec["type"]).into(),
        text_or(&spec["clusterIPs"][0], NONE),
        external_address(service).into(),
        or(&ports, NONE).into(),
        age(service, now),
        labels(&spec["selector"]),
    ]
}

fn external_address(service: &Value) -> String {
    let own: Vec<&str> = texts(&service["spec"]["externalIPs"]).collect();
    match text(&service["spec"]["type"]) {
        "ClusterIP" | "NodePort" => or(&own.join(","), NONE).into(),
        "LoadBalancer" => {
            let balanced = load_balancer(&service["status"]["loadBalancer"]);
            let all: Vec<&str> =
                std::iter::once(balanced.as_str()).filter(|b| !b.is_empty()).chain(own).collect();
            or(&all.join(","), "<pending>").into()
        }
        "ExternalName" => text(&service["spec"]["externalName"]).into(),
        _ => UNKNOWN.into(),
    }
}

fn access_modes(modes: &Value) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| items(modes).iter().any(|m| m == mode);
    short.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn storage_class(object: &Value) -> &str {
    let old = text(&object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"]);
    or(old, text(&object["spec"]["storageClassName"]))
}

fn phase(object: &Value) -> &str {
    if object["metadata"]["deletionTimestamp"].is_null() {
        text(&object["status"]["phase"])
    } else {
        "Terminating"
    }
}

fn amount(value: &Value) -> String {
    quantity(value).map_or_else(|| "0".into(), |q| q.to_string())
}

pub(super) fn volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, claim) = (&volume["spec"], &volume["spec"]["claimRef"]);
    let claimed = match claim {
        Value::Object(_) => format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])),
        _ => String::new(),
    };
    vec![
        name_of(volume),
        amount(&spec["capacity"]["storage"]).into(),
        access_modes(&spec["accessModes"]).into(),
        text(&spec["persistentVolumeReclaimPolicy"]).into(),
        phase(volume).into(),
        claimed.into(),
        storage_class(volume).into(),
        text_or(&spec["volumeAttributesClassName"], UNSET),
        text(&volume["status"]["reason"]).into(),
        age(volume, now),
        text_or(&spec["volumeMode"], UNSET),
    ]
}

pub(super) fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&claim["spec"], &claim["status"]);
    let bound = !text(&spec["volumeName"]).is_empty();
    let when_bound = |told: String| if bound { told } else { String::new() };
    vec![
        name_of(claim),
        phase(claim).into(),
        text(&spec["volumeName"]).into(),
        when_bound(amount(&status["capacity"]["storage"])).into(),
        when_bound(access_modes(&status["accessModes"])).into(),
        storage_class(claim).into(),
        text_or(&spec["volumeAttributesClassName"], UNSET),
        age(claim, now),
        text_or(&spec["volumeMode"], UNSET),
    ]
}

pub(super) fn quota(quota: &Value, now: Timestamp) -> Vec<Value> {
    let status = &quota["status"];
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in entries(&status["hard"]) {
        let told = format!("{resource}: {}/{}", amount(&status["used"][resource]), amount(hard));
        if resource.contains("limits") { limits.push(told) } else { requests.push(told) }
    }
    vec![name_of(quota), requests.join(", ").into(), limits.join(", ").into(), age(quota, now)]
}

pub(super) fn replication_controller(controller: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&controller["spec"], &controller["status"]);
    let containers = &spec["template"]["spec"]["containers"];
    vec![
        name_of(controller),
        int(&spec["replicas"]).into(),
        int(&status["replicas"]).into(),
        int(&status["readyReplicas"]).into(),
        age(controller, now),
        joined(containers, "name"),
        joined(containers, "image"),
        labels(&spec["selector"]),
    ]
}

pub(super) fn pod_template(template: &Value, _now: Timestamp) -> Vec<Value> {
    let template_spec = &template["template"];
    let containers = &template_spec["spec"]["containers"];
    vec![
        name_of(template),
        joined(containers, "name"),
        joined(containers, "image"),
        labels(&template_spec["metadata"]["labels"]),
    ]
}
