//! Lists of tolerations put together.

use serde_json::Value;

use crate::value::text;

/// Both lists, without what another one of them covers.
pub(super) fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (i, toleration) in all.iter().enumerate() {
        let covered = merged.iter().any(|other| covers(other, toleration))
            || all[i + 1..].iter().any(|other| other != toleration && covers(other, toleration));
        if !covered {
            merged.push((*toleration).clone());
        }
    }
    merged
}

/// Whatever `inner` tolerates, `outer` does.
pub(super) fn covers(outer: &Value, inner: &Value) -> bool {
    if outer == inner {
        return true;
    }
    let of = |toleration: &Value, field: &str| text(toleration, &[field]).to_string();
    let exists = of(outer, "operator") == "Exists";
    let every_key = of(outer, "key").is_empty() && exists;
    if of(outer, "key") != of(inner, "key") && !every_key {
        return false;
    }
    let effect = of(outer, "effect");
    if !effect.is_empty() && effect != of(inner, "effect") {
        return false;
    }
    if effect == "NoExecute"
        && let Some(seconds) = outer["tolerationSeconds"].as_i64()
        && inner["tolerationSeconds"].as_i64().is_none_or(|inner| inner > seconds)
    {
        return false;
    }
    let plain = |toleration: &Value| matches!(text(toleration, &["operator"]), "" | "Equal");
    exists || (plain(outer) && plain(inner) && of(outer, "value") == of(inner, "value"))
}
