//! The mandatory and suggested objects of flow control, kept as this version has them; and the conditions of schemas.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::compile::{MANDATORY, name};

const ANNOTATION: &str = "apf.kubernetes.io/autoupdate-spec";

/// What is to be done so that the bootstrap objects are as they should be.
#[derive(Debug, Clone, PartialEq)]
pub enum Maintenance {
    Create(Value),
    /// The object as it should be, with the resourceVersion that it was decided on.
    Update(Value),
    /// One that this server's predecessor made and this one does not know; with its resourceVersion as a precondition.
    Delete {
        name: String,
        resource_version: String,
    },
}

/// `bootstrap` and `existing` are objects of one kind: FlowSchemas or PriorityLevelConfigurations.
pub fn maintain(bootstrap: &[Value], existing: &[Arc<Value>]) -> Vec<Maintenance> {
    let mut actions = Vec::new();
    for wanted in bootstrap {
        let found = existing.iter().find(|object| name(object) == name(wanted));
        let action = match found {
            None => Some(Maintenance::Create(wanted.clone())),
            Some(found) => updated(found, wanted, MANDATORY.contains(&name(wanted))).map(Maintenance::Update),
        };
        actions.extend(action);
    }
    let unknown =
        existing.iter().filter(|object| !bootstrap.iter().any(|wanted| name(wanted) == name(object)));
    actions.extend(unknown.filter(|object| annotated(object) == Some(true)).map(|object| {
        Maintenance::Delete {
            name: name(object).to_string(),
            resource_version: object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_string(),
        }
    }));
    actions
}

/// What the annotation says, where it says something.
fn annotated(object: &Value) -> Option<bool> {
    match object["metadata"]["annotations"][ANNOTATION].as_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The object as it should be; `None` where it is.
fn updated(found: &Value, wanted: &Value, mandatory: bool) -> Option<Value> {
    // An operator who touched the spec and said nothing wants it kept.
    let ours = mandatory
        || annotated(found).unwrap_or_else(|| found["metadata"]["generation"].as_i64().unwrap_or(1) == 1);
    let annotation = if ours { "true" } else { "false" };
    let spec_differs = ours && !same(&wanted["spec"], &found["spec"]);
    if found["metadata"]["annotations"][ANNOTATION] == annotation && !spec_differs {
        return None;
    }
    let mut new = found.clone();
    if !new["metadata"]["annotations"].is_object() {
        new["metadata"]["annotations"] = json!({});
    }
    new["metadata"]["annotations"][ANNOTATION] = annotation.into();
    if spec_differs {
        new["spec"] = wanted["spec"].clone();
    }
    Some(new)
}

/// Whether `found` says all that `wanted` says; what it says beyond that are defaults, of fields that `wanted` leaves out.
fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(key, value)| same(value, found.get(key).unwrap_or(&Value::Null)))
                && found.iter().all(|(key, value)| wanted.contains_key(key) || is_default(key, value))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(w, f)| same(w, f))
        }
        (wanted, found) => wanted == found || (is_nothing(wanted) && is_nothing(found)),
    }
}

fn is_default(key: &str, value: &Value) -> bool {
    is_nothing(value)
        || match key {
            "nominalConcurrencyShares" => *value == 30 || *value == 0,
            "lendablePercent" => *value == 0,
            "matchingPrecedence" => *value == 1000,
            "exempt" => value.as_object().is_some_and(|fields| fields.iter().all(|(k, v)| is_default(k, v))),
            "queues" => *value == 64,
            "handSize" => *value == 8,
            "queueLengthLimit" => *value == 50,
            _ => false,
        }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(_) => false,
    }
}

/// FlowSchemas whose condition `Dangling` is not what it should be, with what it should be. `now` is RFC 3339, to the
/// second. It is written through the `status` subresource.
pub fn dangling(schemas: &[Arc<Value>], levels: &[Arc<Value>], now: &str) -> Vec<(String, Value)> {
    let mut changes = Vec::new();
    for schema in schemas {
        let level = schema["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default();
        let exists = levels.iter().any(|object| name(object) == level);
        let what =
            format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
        let (status, reason, message) = if exists {
            ("False", "Found", format!("{what} and it exists"))
        } else {
            ("True", "NotFound", format!("{what} but there is no such object"))
        };
        let conditions = schema["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == "Dangling");
        if found.is_some_and(|c| c["status"] == status && c["reason"] == reason && c["message"] == *message) {
            continue;
        }
        let since = found.filter(|c| c["status"] == status).and_then(|c| c["lastTransitionTime"].as_str());
        let condition = json!({
            "type": "Dangling", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since.unwrap_or(now),
        });
        changes.push((name(schema).to_string(), condition));
    }
    changes
}

#[cfg(test)]
mod tests {
    use oarlock_api::GroupVersionKind;

    use super::*;

    fn bootstrap(plural: &str) -> Vec<Value> {
        oarlock_api::table::bootstrap_objects()[plural].as_array().expect("a list").clone()
    }

    fn stored(mut object: Value, generation: u64) -> Value {
        object["metadata"]["generation"] = generation.into();
        object["metadata"]["resourceVersion"] = "7".into();
        object
    }

    #[test]
    fn a_fresh_cluster_gets_everything_once() {
        for plural in ["flowschemas", "prioritylevelconfigurations"] {
            let all = bootstrap(plural);
            let actions = maintain(&all, &[]);
            assert!(actions.iter().all(|action| matches!(action, Maintenance::Create(_))));
            assert_eq!(actions.len(), all.len());
            let existing: Vec<_> = all.iter().map(|object| Arc::new(stored(object.clone(), 1))).collect();
            assert_eq!(maintain(&all, &existing), [], "{plural} as they should be");
            // As the server stores them: with defaults, and through JSON that says every field.
            let defaulted = all.iter().map(|object| {
                let mut object = stored(object.clone(), 1);
                let kind = object["kind"].as_str().expect("a kind").to_string();
                let gvk = GroupVersionKind::new("flowcontrol.apiserver.k8s.io", "v1", &kind);
                oarlock_api::defaults::apply_defaults(&gvk, &mut object);
                Arc::new(object)
            });
            assert_eq!(maintain(&all, &defaulted.collect::<Vec<_>>()), [], "{plural} with defaults");
        }
    }

    #[test]
    fn the_annotation_says_whose_spec_it_is() {
        let check = |named: &str, annotation: Option<&str>, generation, want: &str| {
            let all = bootstrap("prioritylevelconfigurations");
            let wanted = all.iter().find(|object| name(object) == named).expect("it is one of them").clone();
            let mut object = stored(wanted.clone(), generation);
            object["spec"]["limited"]["nominalConcurrencyShares"] = 77.into();
            object["metadata"]["annotations"] = json!({});
            if let Some(annotation) = annotation {
                object["metadata"]["annotations"][ANNOTATION] = annotation.into();
            }
            let got = match maintain(&[wanted], &[Arc::new(object)]).as_slice() {
                [] => "nothing".to_string(),
                [Maintenance::Update(new)] => format!(
                    "{} {}",
                    new["spec"]["limited"]["nominalConcurrencyShares"],
                    new["metadata"]["annotations"][ANNOTATION].as_str().expect("it is said")
                ),
                other => panic!("{other:?}"),
            };
            assert_eq!(got, want, "{named} {annotation:?} {generation}");
        };
        check("workload-low", Some("true"), 3, "100 true");
        check("workload-low", Some("false"), 3, "nothing");
        check("workload-low", None, 1, "100 true");
        check("workload-low", None, 2, "77 false");
        check("catch-all", Some("false"), 5, "5 true");
    }

    #[test]
    fn what_a_predecessor_made_goes() {
        let object = |annotation: &str| {
            let metadata =
                json!({ "name": "old", "resourceVersion": "7", "annotations": { ANNOTATION: annotation } });
            Arc::new(json!({ "metadata": metadata, "spec": {} }))
        };
        let gone = Maintenance::Delete { name: "old".into(), resource_version: "7".into() };
        assert_eq!(maintain(&[], &[object("true")]), [gone]);
        assert_eq!(maintain(&[], &[object("false")]), []);
    }

    #[test]
    fn schemas_without_level_dangle() {
        let level = Arc::new(json!({ "metadata": { "name": "there" } }));
        let schema = |level: &str, conditions: Value| {
            Arc::new(json!({
                "metadata": { "name": "s" }, "status": { "conditions": conditions },
                "spec": { "priorityLevelConfiguration": { "name": level } },
            }))
        };
        let changes =
            dangling(&[schema("gone", json!([]))], std::slice::from_ref(&level), "2026-01-01T00:00:00Z");
        let (name, condition) = &changes[0];
        assert_eq!(name, "s");
        assert_eq!(condition["status"], "True");
        assert_eq!(
            condition["message"],
            "This FlowSchema references the PriorityLevelConfiguration object named \"gone\" but there is no such object"
        );
        let settled = schema("gone", json!([condition]));
        assert_eq!(dangling(&[settled], std::slice::from_ref(&level), "later"), []);
        let found = dangling(&[schema("there", json!([condition]))], &[level], "2026-01-02T00:00:00Z");
        assert_eq!((&found[0].1["status"], &found[0].1["reason"]), (&json!("False"), &json!("Found")));
        assert_eq!(found[0].1["lastTransitionTime"], "2026-01-02T00:00:00Z");
    }
}
