//! The fields of a Service that stand for allocations: what it needs, what stays from before, what goes with its type.

use oarlock_api::FieldErrors;
use serde_json::{Value, json};

fn kind_of(service: &Value) -> &str {
    service["spec"]["type"].as_str().unwrap_or("ClusterIP")
}

fn is_headless(service: &Value) -> bool {
    service["spec"]["clusterIP"] == "None"
}

pub(super) fn needs_address(service: &Value) -> bool {
    kind_of(service) != "ExternalName" && !is_headless(service)
}

/// Its node ports mean something; those it asks for are reserved.
pub(super) fn has_node_ports(service: &Value) -> bool {
    matches!(kind_of(service), "NodePort" | "LoadBalancer")
}

/// It is given node ports that it did not ask for.
pub(super) fn needs_node_ports(service: &Value) -> bool {
    match kind_of(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

pub(super) fn needs_health_port(service: &Value) -> bool {
    kind_of(service) == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local"
}

/// Brings the fields into the form that allocation reads: single and plural addresses agree, families are named, what
/// the client left out is as it was, what the type has no use for is gone.
pub(super) fn prepare(new: &mut Value, old: Option<&Value>, families: &[&'static str]) -> FieldErrors {
    if !new["spec"].is_object() {
        new["spec"] = json!({});
    }
    if let Some(old) = old {
        keep_allocations(new, old);
    }
    drop_unused(new, old);
    if kind_of(new) == "ExternalName" {
        return FieldErrors::new();
    }
    let single = new["spec"]["clusterIP"].as_str().unwrap_or_default().to_string();
    let plural = new["spec"]["clusterIPs"].as_array().is_some_and(|list| !list.is_empty());
    if !single.is_empty() && !plural {
        new["spec"]["clusterIPs"] = json!([single]);
    } else if single.is_empty() && plural {
        new["spec"]["clusterIP"] = new["spec"]["clusterIPs"][0].clone();
    }
    super::families::complete(new, old, families)
}

/// What the client left out stays as it was given.
fn keep_allocations(new: &mut Value, old: &Value) {
    // To have none on purpose is an allocation, too.
    if kind_of(new) != "ExternalName" && kind_of(old) != "ExternalName" {
        let (spec, was) = (&mut new["spec"], &old["spec"]);
        if spec["clusterIP"].as_str().unwrap_or_default().is_empty()
            && spec["clusterIPs"].as_array().is_none_or(Vec::is_empty)
        {
            spec["clusterIP"] = was["clusterIP"].clone();
        }
        // A client that does not know the list keeps the second address.
        if spec["clusterIPs"].as_array().is_none_or(Vec::is_empty) && spec["clusterIP"] == was["clusterIP"] {
            spec["clusterIPs"] = was["clusterIPs"].clone();
        }
    }
    let same = kind_of(new) == kind_of(old) || kind_of(old) != "ExternalName";
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if same && new["spec"][field].is_null() && !old["spec"][field].is_null() {
            new["spec"][field] = old["spec"][field].clone();
        }
    }
    if needs_node_ports(new) && has_node_ports(old) {
        let had = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
        let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_string();
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
            if port["nodePort"].as_u64().unwrap_or(0) == 0
                && let Some(was) =
                    had.iter().find(|was| was["port"] == port["port"] && protocol(was) == protocol(port))
                && !was["nodePort"].is_null()
            {
                port["nodePort"] = was["nodePort"].clone();
            }
        }
    }
    if needs_health_port(new)
        && needs_health_port(old)
        && new["spec"]["healthCheckNodePort"].as_u64().unwrap_or(0) == 0
    {
        new["spec"]["healthCheckNodePort"] = old["spec"]["healthCheckNodePort"].clone();
    }
}

/// A change of type leaves allocations behind that only the old type had, where the client did not change them itself.
fn drop_unused(new: &mut Value, old: Option<&Value>) {
    let remove = |service: &mut Value, field: &str| {
        if let Some(spec) = service["spec"].as_object_mut() {
            spec.remove(field);
        }
    };
    let Some(old) = old else { return };
    if needs_address(old) && kind_of(new) == "ExternalName" {
        for field in ["clusterIP", "clusterIPs"] {
            if new["spec"][field] == old["spec"][field] {
                remove(new, field);
            }
        }
        remove(new, "ipFamilies");
        remove(new, "ipFamilyPolicy");
    }
    if has_node_ports(old) && !has_node_ports(new) {
        let had: Vec<Value> =
            old["spec"]["ports"].as_array().into_iter().flatten().map(|p| p["nodePort"].clone()).collect();
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut)
        {
            if port.get("nodePort").is_some_and(|n| had.contains(n)) {
                port.remove("nodePort");
            }
        }
    }
    if needs_health_port(old)
        && !needs_health_port(new)
        && new["spec"]["healthCheckNodePort"] == old["spec"]["healthCheckNodePort"]
    {
        remove(new, "healthCheckNodePort");
    }
}
