//! The rows of the networking and discovery groups.

use jiff::Timestamp;
use serde_json::Value;

use crate::print::{NONE, UNSET, age, first_of, load_balancer, name_of, or, selector, text_or};
use crate::value::{items, text, texts};

pub(super) fn ingress(ingress: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &ingress["spec"];
    vec![
        name_of(ingress),
        text_or(&spec["ingressClassName"], NONE),
        hosts(items(&spec["rules"])).into(),
        load_balancer(&ingress["status"]["loadBalancer"]).into(),
        if items(&spec["tls"]).is_empty() { "80" } else { "80, 443" }.into(),
        age(ingress, now),
    ]
}

/// At most three of the hosts; the rest is counted in rules, as upstream does.
fn hosts(rules: &[Value]) -> String {
    const MAX: usize = 3;
    let (mut shown, mut more) = (Vec::new(), false);
    for rule in rules {
        more |= shown.len() == MAX;
        let host = text(&rule["host"]);
        if !more && !host.is_empty() {
            shown.push(host);
        }
    }
    match (shown.is_empty(), more) {
        (true, _) => "*".into(),
        (_, true) => format!("{} + {} more...", shown.join(","), rules.len() - MAX),
        _ => shown.join(","),
    }
}

pub(super) fn ingress_class(class: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = &class["spec"]["parameters"];
    let told = if parameters.is_object() {
        let group = text(&parameters["apiGroup"]);
        let kind = oarlock_api::GroupKind::new(group, text(&parameters["kind"]));
        format!("{kind}/{}", text(&parameters["name"]))
    } else {
        NONE.into()
    };
    vec![name_of(class), text(&class["spec"]["controller"]).into(), told.into(), age(class, now)]
}

pub(super) fn network_policy(policy: &Value, now: Timestamp) -> Vec<Value> {
    let pods = &policy["spec"]["podSelector"];
    let told = if pods.is_null() { NONE.into() } else { selector(pods) };
    vec![name_of(policy), told, age(policy, now)]
}

pub(super) fn endpoint_slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let port = |port: &Value| match port["port"].as_i64() {
        Some(number) => number.to_string(),
        None => or(text(&port["name"]), "*").to_string(),
    };
    let ports: Vec<String> = items(&slice["ports"]).iter().map(port).collect();
    let addresses = items(&slice["endpoints"]).iter().flat_map(|e| texts(&e["addresses"]));
    let addresses: Vec<String> = addresses.map(str::to_string).collect();
    vec![
        name_of(slice),
        text(&slice["addressType"]).into(),
        or(&first_of(&ports, 3), UNSET).into(),
        or(&first_of(&addresses, 3), UNSET).into(),
        age(slice, now),
    ]
}

pub(super) fn ip_address(address: &Value, _now: Timestamp) -> Vec<Value> {
    let parent = &address["spec"]["parentRef"];
    let told = if parent.is_object() {
        let resource = oarlock_api::GroupResource::new(text(&parent["group"]), text(&parent["resource"]));
        let resource = resource.to_string().to_lowercase();
        match text(&parent["namespace"]) {
            "" => format!("{resource}/{}", text(&parent["name"])),
            namespace => format!("{resource}/{namespace}/{}", text(&parent["name"])),
        }
    } else {
        NONE.into()
    };
    vec![name_of(address), told.into()]
}

pub(super) fn service_cidr(range: &Value, now: Timestamp) -> Vec<Value> {
    let cidrs = texts(&range["spec"]["cidrs"]).collect::<Vec<_>>().join(",");
    vec![name_of(range), cidrs.into(), age(range, now)]
}
