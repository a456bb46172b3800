//! The families of a service's addresses: what the client said, completed by what the cluster has. (KEP-563)

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::{Value, json};

const SINGLE: &str = "SingleStack";
const REQUIRE: &str = "RequireDualStack";
const PREFER: &str = "PreferDualStack";

/// Whether something is named that is no family, or a family twice: that is for validation to tell.
pub(super) fn are_odd(service: &Value) -> bool {
    let given = list(&service["spec"]["ipFamilies"]);
    let known = |family: &Value| family == "IPv4" || family == "IPv6";
    !given.iter().all(known) || given.len() > 1 && given[0] == given[1]
}

/// Completes `ipFamilyPolicy` and `ipFamilies`, or says what about them cannot be. `configured` are the cluster's
/// families, the first one by default.
pub(super) fn complete(new: &mut Value, old: Option<&Value>, configured: &[&'static str]) -> FieldErrors {
    if new["spec"]["type"] == "ExternalName" || old.is_some_and(|old| prefers_the_same(new, old)) {
        return FieldErrors::new();
    }
    let free = new["spec"]["clusterIP"] == "None" && is_empty(&new["spec"]["selector"]);
    default_policy(new, old, free);
    if are_odd(new) {
        return FieldErrors::new();
    }
    let mut errors = FieldErrors::new();
    if let Some(old) = old {
        give_up_second(new, old, &mut errors);
    }
    check_count(&new["spec"], &mut errors);
    infer(&mut new["spec"], configured, &mut errors);
    if !errors.is_empty() {
        return errors;
    }
    let spec = &mut new["spec"];
    // Who answers for a service without addresses and selector is its owner's affair, in any family.
    if free {
        add_missing(spec, configured, &["IPv4", "IPv6"]);
        return errors;
    }
    if spec["ipFamilyPolicy"] == REQUIRE && configured.len() < 2 {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid(policy_path(), REQUIRE, detail));
    }
    for (index, family) in list(&spec["ipFamilies"]).iter().enumerate() {
        if !configured.iter().any(|known| family == known) {
            let path = Path::new("spec").child("ipFamilies").index(index);
            errors.push(FieldError::invalid(path, family.clone(), "not configured on this cluster"));
        }
    }
    if errors.is_empty() {
        add_missing(spec, configured, configured);
    }
    errors
}

fn policy_path() -> Path {
    Path::new("spec").child("ipFamilyPolicy")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_empty(map: &Value) -> bool {
    map.as_object().is_none_or(serde_json::Map::is_empty)
}

/// A service that prefers two families is not changed because its cluster was.
fn prefers_the_same(new: &Value, old: &Value) -> bool {
    let (now, was) = (&new["spec"], &old["spec"]);
    let same = |field: &str| list(&now[field]) == list(&was[field]);
    now["ipFamilyPolicy"] == PREFER
        && was["ipFamilyPolicy"] == PREFER
        && same("clusterIPs")
        && same("ipFamilies")
}

fn default_policy(new: &mut Value, old: Option<&Value>, free: bool) {
    if new["spec"]["ipFamilyPolicy"].is_null() {
        let was = old.map(|old| &old["spec"]["ipFamilyPolicy"]).filter(|was| !was.is_null());
        let fresh = || json!(if free { REQUIRE } else { SINGLE });
        new["spec"]["ipFamilyPolicy"] = was.cloned().unwrap_or_else(fresh);
    }
}

/// To ask for one family is to give up the second; to leave it out is not.
fn give_up_second(new: &mut Value, old: &Value, errors: &mut FieldErrors) {
    let single = new["spec"]["ipFamilyPolicy"] == SINGLE;
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let was = list(&old["spec"][field]);
        let now = list(&new["spec"][field]);
        if single && now == was && now.len() > 1 {
            new["spec"][field] = json!([was[0]]);
        } else if !single && !now.is_empty() && now.len() < was.len() {
            let detail = format!("must be 'SingleStack' to release the secondary {what}");
            errors.push(FieldError::invalid(policy_path(), new["spec"]["ipFamilyPolicy"].clone(), detail));
        }
    }
}

fn check_count(spec: &Value, errors: &mut FieldErrors) {
    if spec["ipFamilyPolicy"] != SINGLE {
        return;
    }
    for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
        if list(&spec[field]).len() == 2 {
            let detail =
                format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            errors.push(FieldError::invalid(policy_path(), SINGLE, detail));
        }
    }
}

/// An address says its family.
fn infer(spec: &mut Value, configured: &[&'static str], errors: &mut FieldErrors) {
    let mut named = list(&spec["ipFamilies"]).to_vec();
    let addresses = list(&spec["clusterIPs"]);
    for (index, address) in addresses.iter().enumerate().skip(named.len()) {
        let Some(address) = address.as_str().and_then(|text| text.parse::<IpAddr>().ok()) else { break };
        let family = super::addresses::family_of(address);
        if configured.contains(&family) {
            named.push(family.into());
        } else {
            let path = Path::new("spec").child("clusterIPs").index(index);
            let detail = format!("{family} is not configured on this cluster");
            errors.push(FieldError::invalid(path, addresses.to_vec(), detail));
        }
    }
    if !named.is_empty() {
        spec["ipFamilies"] = named.into();
    }
}

/// The default family where there is none, and the second one of `all` where two are wanted.
fn add_missing(spec: &mut Value, configured: &[&'static str], all: &[&'static str]) {
    let mut named = list(&spec["ipFamilies"]).to_vec();
    if named.is_empty() {
        named.extend(configured.first().map(|family| Value::from(*family)));
    }
    if named.len() == 1 && spec["ipFamilyPolicy"] != SINGLE && all.len() == 2 {
        named.extend(all.iter().find(|family| named[0] != **family).map(|family| Value::from(*family)));
    }
    spec["ipFamilies"] = named.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[&str] = &["IPv4"];
    const TWO: &[&str] = &["IPv4", "IPv6"];

    #[test]
    fn a_service_is_completed() {
        let check = |configured: &[&'static str], old: Value, new: Value, want: Value| {
            let mut service = json!({ "spec": new });
            let old = (!old.is_null()).then(|| json!({ "spec": old }));
            let errors = complete(&mut service, old.as_ref(), configured);
            let spec = &service["spec"];
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(json!([spec["ipFamilyPolicy"], spec["ipFamilies"], spec["clusterIPs"]]), want);
        };
        let none = Value::Null;
        check(ONE, none.clone(), json!({}), json!([SINGLE, ["IPv4"], null]));
        check(TWO, none.clone(), json!({}), json!([SINGLE, ["IPv4"], null]));
        check(TWO, none.clone(), json!({"clusterIPs": ["fd00::1"]}), json!([SINGLE, ["IPv6"], ["fd00::1"]]));
        check(ONE, none.clone(), json!({"ipFamilyPolicy": PREFER}), json!([PREFER, ["IPv4"], null]));
        check(TWO, none.clone(), json!({"ipFamilyPolicy": PREFER}), json!([PREFER, TWO, null]));
        let six_first = json!({"ipFamilyPolicy": REQUIRE, "ipFamilies": ["IPv6"]});
        check(TWO, none.clone(), six_first, json!([REQUIRE, ["IPv6", "IPv4"], null]));
        let headless = json!({"clusterIP": "None", "clusterIPs": ["None"]});
        check(ONE, none.clone(), headless, json!([REQUIRE, TWO, ["None"]]));
        let selecting = json!({"clusterIP": "None", "clusterIPs": ["None"], "selector": {"a": "b"}});
        check(ONE, none.clone(), selecting, json!([SINGLE, ["IPv4"], ["None"]]));
        let both =
            json!({"ipFamilyPolicy": REQUIRE, "ipFamilies": TWO, "clusterIPs": ["10.0.0.1", "fd00::1"]});
        let mut less = both.clone();
        less["ipFamilyPolicy"] = SINGLE.into();
        check(TWO, both.clone(), less, json!([SINGLE, ["IPv4"], ["10.0.0.1"]]));
        let preferring =
            json!({"ipFamilyPolicy": PREFER, "ipFamilies": ["IPv4"], "clusterIPs": ["10.0.0.1"]});
        check(TWO, preferring.clone(), preferring, json!([PREFER, ["IPv4"], ["10.0.0.1"]]));
        check(ONE, none, json!({"type": "ExternalName"}), json!([null, null, null]));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |configured: &[&'static str], old: Value, new: Value, want: &str| {
            let mut service = json!({ "spec": new });
            let old = (!old.is_null()).then(|| json!({ "spec": old }));
            let errors = complete(&mut service, old.as_ref(), configured);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told, [want]);
        };
        let none = Value::Null;
        check(
            ONE,
            none.clone(),
            json!({"ipFamilyPolicy": REQUIRE}),
            r#"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#,
        );
        check(
            ONE,
            none.clone(),
            json!({"ipFamilies": ["IPv6"]}),
            r#"spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster"#,
        );
        check(
            ONE,
            none.clone(),
            json!({"clusterIPs": ["fd00::1"]}),
            r#"spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster"#,
        );
        check(
            TWO,
            none,
            json!({"clusterIPs": ["10.0.0.1", "fd00::1"]}),
            r#"spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"#,
        );
        let both =
            json!({"ipFamilyPolicy": REQUIRE, "ipFamilies": TWO, "clusterIPs": ["10.0.0.1", "fd00::1"]});
        let mut less = both.clone();
        less["clusterIPs"] = json!(["10.0.0.1"]);
        check(
            TWO,
            both,
            less,
            r#"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be 'SingleStack' to release the secondary cluster IP"#,
        );
    }
}
