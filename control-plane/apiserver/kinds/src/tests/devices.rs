//! Claims, classes and slices of devices.

use super::*;

const API: &str = "resource.k8s.io/v1";

fn claim(devices: Value) -> Value {
    named(API, "ResourceClaim", json!({"spec": {"devices": devices}}))
}

#[test]
fn claims_are_told_what_is_wrong() {
    check(
        "plain",
        claim(json!({
            "requests": [
                {"name": "a", "exactly": {"deviceClassName": "c", "selectors": [{"cel": {"expression":
                    "device.driver == 'd' && device.attributes['d'].model == 'x' && device.capacity['d'].memory.compareTo(quantity('1Gi')) >= 0"}}]}},
                {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c"}]},
                {"name": "c", "exactly": {"deviceClassName": "c", "selectors": [{"cel": {"expression":
                    "cel.bind(d, device.attributes['d.e'], d.big && d.model == 'x')"}}]}},
            ],
            "constraints": [{"requests": ["a", "b/x"], "matchAttribute": "d.e/numa"}],
            "config": [{"requests": ["b"], "opaque": {"driver": "d", "parameters": {"k": 1}}}],
        })),
        &[],
    );
    check(
        "requests",
        claim(json!({"requests": [
            {"name": "a"}, {"name": "a", "exactly": {"deviceClassName": "", "allocationMode": "All", "count": 2}},
            {"name": "C", "exactly": {"deviceClassName": "c", "tolerations": [{"key": "k", "operator": "Exists", "value": "v"}]}}]})),
        &[
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            "spec.devices.requests[1].exactly.deviceClassName: Required value",
            "spec.devices.requests[1].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
            "spec.devices.requests[2].name: Invalid value: \"C\": a lowercase RFC 1123 label",
            "spec.devices.requests[2].exactly.tolerations[0].value: Invalid value: \"v\": must be empty for operator `Exists`",
            "spec.devices.requests[1]: Duplicate value: \"a\"",
        ],
    );
    check(
        "selectors",
        claim(json!({"requests": [{"name": "a", "exactly": {"deviceClassName": "c", "selectors": [
            {}, {"cel": {"expression": "1 + 1"}}, {"cel": {"expression": "devices.x"}}]}}]})),
        &[
            "spec.devices.requests[0].exactly.selectors[0].cel: Required value",
            "spec.devices.requests[0].exactly.selectors[1].cel.expression: Invalid value: \"1 + 1\": must evaluate to bool or the unknown type, not int",
            "spec.devices.requests[0].exactly.selectors[2].cel.expression: Invalid value: \"devices.x\": compilation failed: ",
        ],
    );
    check(
        "constraints",
        claim(json!({"requests": [{"name": "a", "exactly": {"deviceClassName": "c"}}],
            "constraints": [{"requests": ["b"], "matchAttribute": "numa"}, {}], "config": [{}]})),
        &[
            "spec.devices.constraints[0].requests[0]: Invalid value: \"b\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            "spec.devices.constraints[0].matchAttribute: Invalid value: \"numa\": a fully qualified name must be a domain and a name separated by a slash",
            "spec.devices.constraints[1]: Required value: exactly one of \"matchAttribute\" or \"distinctAttribute\" is required",
            "spec.devices.config[0].opaque: Required value",
        ],
    );
    check_update(
        "spec",
        claim(json!({"requests": [{"name": "a", "exactly": {"deviceClassName": "c"}}]})),
        |c| c["spec"]["devices"]["requests"][0]["name"] = "b".into(),
        &["spec: Invalid value: {"],
    );
}

#[test]
fn slices_are_told_what_is_wrong() {
    let slice = |rest: Value| {
        let mut object = named(
            API,
            "ResourceSlice",
            json!({"spec": {
            "driver": "d", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n"}}),
        );
        for (field, value) in rest.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        object
    };
    check(
        "plain",
        slice(
            json!({"devices": [{"name": "a", "attributes": {"x": {"int": 1}, "d.e/v": {"version": "1.2.3-rc.1+b"}},
            "capacity": {"memory": {"value": "1Gi"}}, "taints": [{"key": "k", "effect": "NoSchedule"}]}]}),
        ),
        &[],
    );
    check(
        "where",
        slice(json!({"allNodes": true, "pool": {"name": "", "resourceSliceCount": 0}})),
        &[
            "spec.pool.name: Required value",
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
            "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
        ],
    );
    check(
        "devices",
        slice(json!({"devices": [
            {"name": "a", "attributes": {"1": {"int": 1, "bool": true}, "v": {"version": "1"}, "none": {}}, "allNodes": true},
            {"name": "a", "capacity": {"m": {"value": "1", "requestPolicy": {"default": "1", "validValues": ["1"]}}}},
            {"name": "b", "allowMultipleAllocations": true, "capacity": {"m": {"value": "4", "requestPolicy": {"default": "3", "validValues": ["2", "1", "5"]}}}},
            {"name": "c", "consumesCounters": [{"counterSet": "s"}], "bindingConditions": ["x"]},
        ]})),
        &[
            "spec.devices[0].attributes[1]: Invalid value: \"1\": a valid C identifier must start with",
            "spec.devices[0].attributes[1]: Invalid value: {\"bool\":true,\"int\":1}: exactly one value must be specified",
            "spec.devices[0].attributes[none]: Invalid value: \"\": exactly one value must be specified",
            "spec.devices[0].attributes[v].version: Invalid value: \"1\": must be a string compatible with semver.org spec 2.0.0",
            "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if",
            "spec.devices[1].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true",
            "spec.devices[2].capacity[m].requestPolicy.validValues[1]: Invalid value: \"1\": values must be sorted in ascending order",
            "spec.devices[2].capacity[m].requestPolicy.validValues[2]: Invalid value: \"5\": option is larger than capacity value: 4",
            "spec.devices[2].capacity[m].requestPolicy.validValues: Invalid value: \"3\": default value is not valid according to the requestPolicy",
            "spec.devices[3].consumesCounters[0].counters: Required value",
            "spec.devices[3].bindingConditions: Invalid value: [\"x\"]: bindingFailureConditions are required to use bindingConditions",
            "spec.devices[1]: Duplicate value: \"a\"",
        ],
    );
    let (made, _) =
        created(slice(json!({"devices": [{"name": "a", "taints": [{"key": "k", "effect": "NoSchedule"}],
        "attributes": {"x": {"ints": [1], "int": 1}}}]})));
    assert_eq!(made["spec"]["devices"][0]["taints"][0]["timeAdded"], "1970-01-01T00:00:00Z");
    assert_eq!(made["spec"]["devices"][0]["attributes"]["x"], json!({"int": 1}));
}
