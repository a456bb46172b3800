//! Random objects keep all they say on the way to another version and back, and are sound objects there.

mod generator;

use generator::{Choices, object};
use oarlock_api::conversion::{Conversion, convert};
use oarlock_api::{Resource, Table, codec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const KEPT: &str = "autoscaling.alpha.kubernetes.io";

fn resource(group: &str, version: &str, plural: &str) -> &'static Resource {
    Table::builtin().resource(group, version, plural).expect("the table holds it")
}

/// Reads an object as its type would be read, and insists that the type knows all of it.
#[track_caller]
fn sound(api: &Resource, value: &Value) {
    let table = Table::builtin();
    let ty = table.type_of(api.group, api.version, api.kind).expect("every resource has a type");
    let checked =
        codec::check(table, ty, value).unwrap_or_else(|error| panic!("{}: {error}: {value}", api.kind));
    assert_eq!(checked.strict, Vec::<String>::new(), "{} {}: {value}", api.version, api.kind);
}

fn random(api: &Resource, choices: &mut Choices<'_>, density: u8) -> Value {
    let table = Table::builtin();
    let ty = table.type_of(api.group, api.version, api.kind).expect("every resource has a type");
    let mut value = object(table, ty, choices, density, 6);
    value["apiVersion"] = api.api_version().into();
    value["kind"] = api.kind.into();
    let checked = codec::check(table, ty, &value);
    without_empty_requests(checked.expect("the generator makes objects of the type").value)
}

/// `exactly: {}`, which no validation lets through, is nothing in the flat version.
fn without_empty_requests(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, without_empty_requests(value)));
            fields.filter(|(key, value)| key != "exactly" || *value != json!({})).collect()
        }
        Value::Array(items) => items.into_iter().map(without_empty_requests).collect(),
        other => other,
    }
}

/// Every two versions of the same object but those of autoscalers, which only say what is valid.
fn pairs() -> impl Iterator<Item = (&'static Resource, &'static Resource)> {
    let all = || Table::builtin().resources().iter();
    all().flat_map(move |from| all().map(move |to| (from, to))).filter(|(from, to)| {
        let flat = from.group == "resource.k8s.io" && from.version == "v1beta1";
        from.kind != "HorizontalPodAutoscaler" && !flat && Conversion::between_resources(from, to).is_some()
    })
}

/// An autoscaler of v2 that validation lets through.
fn autoscaler(choices: &mut Choices<'_>) -> Value {
    let mut value = random(resource("autoscaling", "v2", "horizontalpodautoscalers"), choices, 120);
    value["metadata"]["name"] = "h".into();
    let mut metrics: Vec<Value> =
        (0..choices.number().unsigned_abs() % 5).map(|_| metric(choices, "target")).collect();
    // v1 has one field for it, and puts it last.
    metrics.sort_by_key(|metric| metric["resource"]["name"] == "cpu");
    metrics.push(json!({ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 },
    } }));
    let measures: Vec<Value> =
        (0..choices.number().unsigned_abs() % 4).map(|_| metric(choices, "current")).collect();
    value["spec"] = json!({
        "scaleTargetRef": { "kind": "Deployment", "name": "web" }, "minReplicas": 1, "maxReplicas": 3, "metrics": metrics,
        "behavior": value["spec"]["behavior"].clone(),
    });
    if value["spec"]["behavior"].as_object().is_none_or(Map::is_empty) {
        value["spec"].as_object_mut().expect("fields").remove("behavior");
    }
    if !measures.is_empty() {
        value["status"]["currentMetrics"] = measures.into();
    } else if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("currentMetrics");
    }
    value
}

/// A metric of any type, as a target or as measured.
fn metric(choices: &mut Choices<'_>, side: &str) -> Value {
    let pick = choices.number().unsigned_abs();
    let quantity = ["1", "500m", "1Gi"][usize::try_from(pick / 8 % 3).expect("small")];
    let average = (pick / 32).is_multiple_of(2);
    let amount = match (pick % 5, average) {
        (0 | 4, false) => json!({ "type": "Value", "value": quantity }),
        (2 | 3, false) => json!({ "type": "Utilization", "averageUtilization": pick / 64 % 100 }),
        _ => json!({ "type": "AverageValue", "averageValue": quantity }),
    };
    let amount = match side {
        "target" => amount,
        _ => amount
            .as_object()
            .expect("fields")
            .iter()
            .filter(|(key, _)| *key != "type")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    };
    let name = json!({ "name": "m", "selector": { "matchLabels": { "a": "b" } } });
    match pick % 5 {
        0 => json!({ "type": "Object", "object": {
            "describedObject": { "kind": "Service", "name": "s" }, "metric": name, side: amount,
        } }),
        1 => json!({ "type": "Pods", "pods": { "metric": name, side: amount } }),
        2 => json!({ "type": "Resource", "resource": { "name": "memory", side: amount } }),
        3 => {
            json!({ "type": "ContainerResource", "containerResource": { "name": "cpu", "container": "c", side: amount } })
        }
        _ => json!({ "type": "External", "external": { "metric": name, side: amount } }),
    }
}

/// What strangers may write where v1 keeps things. A second target of CPU use is not among it: of two, the first is v1's
/// field, and the field comes last in v2.
fn annotation() -> impl Strategy<Value = String> {
    let strange = [
        "",
        "null",
        "{}",
        "[]",
        "[null]",
        "[5]",
        "{\"ScaleUp\":5}",
        "{\"ScaleUp\":{\"Policies\":[null]}}",
        "{\"scaleDown\":{}}",
        "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"targetAverageUtilization\":\"x\"}}]",
        "[{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"targetAverageUtilization\":7}}]",
        "[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"p\",\"targetAverageValue\":3}}]",
        "[{\"type\":\"Odd\",\"unknown\":{\"a\":[{}]}}]",
        "[{\"type\":\"ScalingActive\",\"status\":\"True\"}]",
    ];
    prop_oneof![proptest::sample::select(strange.to_vec()).prop_map(str::to_string), "[ -~]{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_version_says_what_every_other_says(bytes in proptest::collection::vec(any::<u8>(), 0..3000), density in 20_u8..200) {
        for (from, to) in pairs() {
            let value = random(from, &mut Choices::new(&bytes), density);
            let mut there = value.clone();
            prop_assert!(convert(&from.gvk(), &to.gvk(), &mut there));
            sound(to, &there);
            prop_assert!(convert(&to.gvk(), &from.gvk(), &mut there));
            prop_assert_eq!(there, value);
        }
    }

    #[test]
    fn autoscalers_keep_what_v1_has_no_field_for(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let (v1, v2) = ["v1", "v2"].map(|version| resource("autoscaling", version, "horizontalpodautoscalers")).into();
        let value = autoscaler(&mut Choices::new(&bytes));
        sound(v2, &value);
        let mut there = value.clone();
        prop_assert!(convert(&v2.gvk(), &v1.gvk(), &mut there));
        sound(v1, &there);
        let mut again = there.clone();
        Conversion::through_hub(v1).expect("v1 loses form").apply(&mut again);
        prop_assert_eq!(&again, &there);
        prop_assert!(convert(&v1.gvk(), &v2.gvk(), &mut there));
        prop_assert_eq!(there, value);
    }

    #[test]
    fn strange_annotations_come_to_one_form(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        kept in proptest::collection::vec(annotation(), 4),
        density in 20_u8..200,
    ) {
        let (v1, v2) = ["v1", "v2"].map(|version| resource("autoscaling", version, "horizontalpodautoscalers")).into();
        for api in [v1, v2] {
            let mut value = random(api, &mut Choices::new(&bytes), density);
            for (name, text) in ["metrics", "behavior", "conditions", "current-metrics"].iter().zip(&kept) {
                value["metadata"]["annotations"][format!("{KEPT}/{name}")] = text.as_str().into();
            }
            let form = Conversion::through_hub(api).expect("both lose form");
            form.apply(&mut value);
            sound(api, &value);
            let once = value.clone();
            form.apply(&mut value);
            prop_assert_eq!(&value, &once);
            let mut stored = value;
            convert(&api.gvk(), &v2.gvk(), &mut stored);
            sound(v2, &stored);
            prop_assert!(!stored.to_string().contains(KEPT), "v2 keeps nothing aside: {}", stored);
        }
    }
}
