//! The rows of the small groups.

use jiff::Timestamp;
use serde_json::Value;

use crate::print::{NONE, UNSET, age, human_duration, int_or_string, name_of, text_or};
use crate::value::{int, is_true, items, text};

pub(super) fn lease(lease: &Value, now: Timestamp) -> Vec<Value> {
    vec![name_of(lease), text(&lease["spec"]["holderIdentity"]).into(), age(lease, now)]
}

pub(super) fn disruption_budget(budget: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &budget["spec"];
    vec![
        name_of(budget),
        int_or_string(&spec["minAvailable"], "N/A").into(),
        int_or_string(&spec["maxUnavailable"], "N/A").into(),
        int(&budget["status"]["disruptionsAllowed"]).into(),
        age(budget, now),
    ]
}

pub(super) fn priority_class(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name_of(class),
        int(&class["value"]).into(),
        is_true(&class["globalDefault"]).into(),
        age(class, now),
        text(&class["preemptionPolicy"]).into(),
    ]
}

pub(super) fn runtime_class(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![name_of(class), text(&class["handler"]).into(), age(class, now)]
}

pub(super) fn signing_request(request: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&request["spec"], &request["status"]);
    let has = |kind: &str| items(&status["conditions"]).iter().any(|c| c["type"] == kind);
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }
    .to_string();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(&status["certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    let lasts = spec["expirationSeconds"].as_i64().map_or_else(|| NONE.to_string(), human_duration);
    vec![
        name_of(request),
        age(request, now),
        text(&spec["signerName"]).into(),
        text(&spec["username"]).into(),
        lasts.into(),
        state.into(),
    ]
}

pub(super) fn webhooks(configuration: &Value, now: Timestamp) -> Vec<Value> {
    vec![name_of(configuration), items(&configuration["webhooks"]).len().into(), age(configuration, now)]
}

pub(super) fn policy(policy: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, parameter) = (&policy["spec"], &policy["spec"]["paramKind"]);
    let told = match parameter {
        Value::Object(_) => format!("{}/{}", text(&parameter["apiVersion"]), text(&parameter["kind"])),
        _ => UNSET.into(),
    };
    let rules = items(&spec["validations"]).len() + items(&spec["mutations"]).len();
    vec![name_of(policy), rules.into(), told.into(), age(policy, now)]
}

pub(super) fn policy_binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let parameter = &binding["spec"]["paramRef"];
    let (name, namespace) = (text(&parameter["name"]), text(&parameter["namespace"]));
    let told: Value = match parameter {
        Value::Object(_) if name.is_empty() => go_selector(&parameter["selector"]).into(),
        Value::Object(_) if namespace.is_empty() => format!("*/{name}").into(),
        Value::Object(_) => format!("{namespace}/{name}").into(),
        _ => UNSET.into(),
    };
    vec![name_of(binding), text(&binding["spec"]["policyName"]).into(), told, age(binding, now)]
}

/// A label selector as upstream's own type prints itself.
fn go_selector(selector: &Value) -> String {
    if !selector.is_object() {
        return UNSET.into();
    }
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels: String = labels.map(|(key, value)| format!("{key}: {},", text(value))).collect();
    let rule = |rule: &Value| {
        let values: Vec<&str> = items(&rule["values"]).iter().map(text).collect();
        format!(
            "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
            text(&rule["key"]),
            text(&rule["operator"]),
            values.join(" ")
        )
    };
    let rules: String = items(&selector["matchExpressions"]).iter().map(rule).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"
    )
}

pub(super) fn api_service(service: &Value, now: Timestamp) -> Vec<Value> {
    let backend = &service["spec"]["service"];
    let told = match backend {
        Value::Object(_) => format!("{}/{}", text(&backend["namespace"]), text(&backend["name"])),
        _ => "Local".into(),
    };
    let available = items(&service["status"]["conditions"]).iter().find(|c| c["type"] == "Available");
    let state = match available {
        None => "Unknown".to_string(),
        Some(c) if c["status"] == "True" => "True".into(),
        Some(c) => format!("{} ({})", text(&c["status"]), text(&c["reason"])),
    };
    vec![name_of(service), told.into(), state.into(), age(service, now)]
}

pub(super) fn flow_schema(schema: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &schema["spec"];
    let dangling = items(&schema["status"]["conditions"]).iter().find(|c| c["type"] == "Dangling");
    vec![
        name_of(schema),
        text_or(&spec["priorityLevelConfiguration"]["name"], NONE),
        int(&spec["matchingPrecedence"]).into(),
        text_or(&spec["distinguisherMethod"]["type"], NONE),
        age(schema, now),
        dangling.map_or("?", |c| text(&c["status"])).into(),
    ]
}

pub(super) fn priority_level(level: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &level["spec"];
    let queuing = &spec["limited"]["limitResponse"]["queuing"];
    let number = |value: &Value| value.as_i64().map_or_else(|| Value::from(NONE), Value::from);
    vec![
        name_of(level),
        text(&spec["type"]).into(),
        number(&spec["limited"]["nominalConcurrencyShares"]),
        number(&queuing["queues"]),
        number(&queuing["handSize"]),
        number(&queuing["queueLengthLimit"]),
        age(level, now),
    ]
}

pub(super) fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let (deleting, status) = (!claim["metadata"]["deletionTimestamp"].is_null(), &claim["status"]);
    let mut states = Vec::new();
    if deleting {
        states.push("deleted");
    }
    if status["allocation"].is_object() {
        states.push("allocated");
        if !items(&status["reservedFor"]).is_empty() {
            states.push("reserved");
        }
    } else if !deleting {
        states.push("pending");
    }
    vec![name_of(claim), states.join(",").into(), age(claim, now)]
}

pub(super) fn slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &slice["spec"];
    vec![
        name_of(slice),
        text(&spec["nodeName"]).into(),
        text(&spec["driver"]).into(),
        text(&spec["pool"]["name"]).into(),
        age(slice, now),
    ]
}
