//! resource.k8s.io: v1beta1 says flat what the later versions put under `exactly`, and under `basic` what they say
//! flat.

use serde_json::{Map, Value};

use super::object_at;

/// Of a request of v1beta1, what is `exactly`'s later.
const EXACT: [&str; 7] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"];

fn items<'o>(
    fields: &'o mut Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = &'o mut Map<String, Value>> {
    let items = fields.get_mut(list).and_then(Value::as_array_mut);
    items.map(Vec::as_mut_slice).unwrap_or_default().iter_mut().filter_map(Value::as_object_mut)
}

fn requests_to_hub(spec: Option<&mut Map<String, Value>>) {
    let Some(devices) = spec.and_then(|spec| object_at(spec, "devices")) else { return };
    for request in items(devices, "requests") {
        let exact: Map<String, Value> =
            EXACT.iter().filter_map(|field| Some(((*field).to_string(), request.remove(*field)?))).collect();
        if !exact.is_empty() {
            request.insert("exactly".into(), Value::Object(exact));
        }
    }
}

fn requests_from_hub(spec: Option<&mut Map<String, Value>>) {
    let Some(devices) = spec.and_then(|spec| object_at(spec, "devices")) else { return };
    for request in items(devices, "requests") {
        if let Some(Value::Object(exact)) = request.remove("exactly") {
            request.extend(exact);
        }
    }
}

pub(super) fn claim_to_hub(claim: &mut Map<String, Value>) {
    requests_to_hub(object_at(claim, "spec"));
}

pub(super) fn claim_from_hub(claim: &mut Map<String, Value>) {
    requests_from_hub(object_at(claim, "spec"));
}

pub(super) fn template_to_hub(template: &mut Map<String, Value>) {
    requests_to_hub(object_at(template, "spec").and_then(|spec| object_at(spec, "spec")));
}

pub(super) fn template_from_hub(template: &mut Map<String, Value>) {
    requests_from_hub(object_at(template, "spec").and_then(|spec| object_at(spec, "spec")));
}

pub(super) fn slice_to_hub(slice: &mut Map<String, Value>) {
    let Some(spec) = object_at(slice, "spec") else { return };
    for device in items(spec, "devices") {
        if let Some(Value::Object(basic)) = device.remove("basic") {
            device.extend(basic);
        }
    }
}

pub(super) fn slice_from_hub(slice: &mut Map<String, Value>) {
    let Some(spec) = object_at(slice, "spec") else { return };
    for device in items(spec, "devices") {
        let name = device.remove("name");
        let basic = std::mem::take(device);
        device.extend(name.map(|name| ("name".to_string(), name)));
        device.insert("basic".into(), Value::Object(basic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(
        there: fn(&mut Map<String, Value>),
        back: fn(&mut Map<String, Value>),
        flat: &Value,
        hub: &Value,
    ) {
        let mut object = flat.clone();
        there(object.as_object_mut().expect("an object"));
        assert_eq!(&object, hub);
        back(object.as_object_mut().expect("an object"));
        assert_eq!(&object, flat);
    }

    #[test]
    fn requests_and_devices_go_there_and_back() {
        let flat = json!({"devices": {"requests": [
            {"name": "a", "deviceClassName": "c", "allocationMode": "ExactCount", "count": 2, "adminAccess": true,
                "selectors": [{"cel": {"expression": "true"}}], "tolerations": [{"key": "k"}], "capacity": {"requests": {"m": "1"}}},
            {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c"}]},
        ], "constraints": [{"requests": ["a"]}]}});
        let hub = json!({"devices": {"requests": [
            {"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 2, "adminAccess": true,
                "selectors": [{"cel": {"expression": "true"}}], "tolerations": [{"key": "k"}], "capacity": {"requests": {"m": "1"}}}},
            {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c"}]},
        ], "constraints": [{"requests": ["a"]}]}});
        check(claim_to_hub, claim_from_hub, &json!({ "spec": flat }), &json!({ "spec": hub }));
        let (flat, hub) = (json!({ "spec": {"spec": flat} }), json!({ "spec": {"spec": hub} }));
        check(template_to_hub, template_from_hub, &flat, &hub);
        check(
            slice_to_hub,
            slice_from_hub,
            &json!({"spec": {"driver": "d", "devices": [{"name": "a", "basic": {"attributes": {"x": {"int": 1}}}}, {"name": "b", "basic": {}}]}}),
            &json!({"spec": {"driver": "d", "devices": [{"name": "a", "attributes": {"x": {"int": 1}}}, {"name": "b"}]}}),
        );
        check(claim_to_hub, claim_from_hub, &json!({}), &json!({}));
    }
}
