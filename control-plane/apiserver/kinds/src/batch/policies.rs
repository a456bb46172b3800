//! When a job has failed or succeeded before all its pods have. (KEP-3329, KEP-3998)

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use crate::value::{int, items, text};
use crate::{check, names};

const RULES_MAX: usize = 20;
const CODES_MAX: usize = 255;
const INDEXES_TEXT_MAX: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

pub(super) fn validate(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    if spec["podFailurePolicy"].is_object() {
        failure(spec, &path.child("podFailurePolicy").child("rules"), errors);
    }
    if spec["successPolicy"].is_object() {
        let at = path.child("successPolicy");
        if spec["completionMode"] == "Indexed" {
            success(spec, &at.child("rules"), errors);
        } else {
            let told = dump::object("io.k8s.api.batch.v1.SuccessPolicy", &spec["successPolicy"]);
            let words = "requires indexed completion mode";
            errors.push(FieldError::invalid(at, Value::Null, words).told_as(&told));
        }
    }
}

/// One of a list, told with what it could be.
fn choice(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    if text(value).is_empty() {
        let values: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let words = format!("valid values: [{}]", values.join(" "));
        errors.push(FieldError::required(path.clone(), words));
    } else {
        check::one_of(value, supported, path, errors);
    }
}

fn failure(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let rules = items(&spec["podFailurePolicy"]["rules"]);
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(path.clone(), rules.len(), RULES_MAX));
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = path.index(index);
        choice(&rule["action"], &ACTIONS, &at.child("action"), errors);
        if rule["action"] == "FailIndex" && spec["backoffLimitPerIndex"].is_null() {
            let words = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid(at.child("action"), "FailIndex", words));
        }
        let (codes, conditions) = (&rule["onExitCodes"], items(&rule["onPodConditions"]));
        if codes.is_object() {
            exit_codes(codes, spec, &at.child("onExitCodes"), errors);
        }
        pod_conditions(conditions, &at.child("onPodConditions"), errors);
        let words = match (codes.is_object(), !conditions.is_empty()) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        errors.push(FieldError::invalid_omitted(at, words));
    }
}

fn exit_codes(codes: &Value, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    choice(&codes["operator"], &OPERATORS, &path.child("operator"), errors);
    if let Some(name) = codes["containerName"].as_str() {
        let pod = &spec["template"]["spec"];
        let known = ["containers", "initContainers"]
            .iter()
            .any(|list| items(&pod[*list]).iter().any(|container| container["name"] == name));
        if !known {
            let words = "must be one of the container or initContainer names in the pod template";
            errors.push(FieldError::invalid(path.child("containerName"), name, words));
        }
    }
    let (values, at) = (items(&codes["values"]), path.child("values"));
    if values.is_empty() {
        errors.push(FieldError::invalid(at, codes["values"].clone(), "at least one value is required"));
        return;
    }
    if values.len() > CODES_MAX {
        return errors.push(FieldError::too_many(at, values.len(), CODES_MAX));
    }
    for (index, value) in values.iter().enumerate() {
        let at = at.index(index);
        if codes["operator"] == "In" && int(value) == 0 {
            errors.push(FieldError::invalid(at.clone(), value.clone(), "must not be 0 for the In operator"));
        }
        if values[..index].contains(value) {
            errors.push(FieldError::duplicate(at, value.clone()));
        }
    }
    if values.windows(2).any(|pair| int(&pair[0]) > int(&pair[1])) {
        errors.push(FieldError::invalid(at, values.to_vec(), "must be ordered"));
    }
}

fn pod_conditions(conditions: &[Value], path: &Path, errors: &mut FieldErrors) {
    if conditions.len() > RULES_MAX {
        errors.push(FieldError::too_many(path.clone(), conditions.len(), RULES_MAX));
    }
    for (index, pattern) in conditions.iter().enumerate() {
        let at = path.index(index);
        check::syntax(text(&pattern["type"]), names::qualified, &at.child("type"), errors);
        choice(&pattern["status"], &STATUSES, &at.child("status"), errors);
    }
}

fn success(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let rules = items(&spec["successPolicy"]["rules"]);
    if rules.is_empty() {
        let words = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(path.clone(), words));
    }
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(path.clone(), rules.len(), RULES_MAX));
    }
    let completions = int(&spec["completions"]);
    for (index, rule) in rules.iter().enumerate() {
        success_rule(rule, completions, &path.index(index), errors);
    }
}

fn success_rule(rule: &Value, completions: i64, path: &Path, errors: &mut FieldErrors) {
    let (indexes, count) = (rule["succeededIndexes"].as_str(), rule["succeededCount"].as_i64());
    if indexes.is_none() && count.is_none() {
        let words = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path.clone(), words));
    }
    let mut total = None;
    if let Some(indexes) = indexes {
        let at = path.child("succeededIndexes");
        if indexes.len() > INDEXES_TEXT_MAX {
            errors.push(FieldError::too_long(at.clone(), INDEXES_TEXT_MAX));
        }
        match counted(indexes, completions) {
            Ok(n) => total = Some(n),
            Err(fault) => {
                let words = format!("error parsing succeededIndexes: {fault}");
                errors.push(FieldError::invalid(at, indexes, words));
                total = Some(0);
            }
        }
    }
    let Some(count) = count else { return };
    let at = path.child("succeededCount");
    check::not_negative(&count.into(), &at, errors);
    if count > completions {
        let words =
            format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.push(FieldError::invalid(at.clone(), count, words));
    }
    if let Some(total) = total.filter(|total| count > *total) {
        let words = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(FieldError::invalid(at, count, words));
    }
}

/// How many indexes `1,3-5,7` names, each greater than the one before and less than the completions.
pub(super) fn counted(indexes: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None::<i64>);
    if indexes.is_empty() {
        return Ok(0);
    }
    for part in indexes.split(',') {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The intervals of such a text that can be read.
pub(super) fn intervals(indexes: &str, completions: i64) -> impl Iterator<Item = (i64, i64)> {
    indexes.split(',').filter_map(move |part| interval(part, completions).ok())
}

fn interval(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let number = |text: &str| -> Result<i64, String> {
        let number = text
            .parse::<i64>()
            .map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if number >= completions { Err(format!("too large index: {text:?}")) } else { Ok(number) }
    };
    let ends: Vec<&str> = part.split('-').collect();
    if ends.len() > 2 {
        return Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        ));
    }
    let first = number(ends[0])?;
    let end = ends.get(1).map_or(Ok(first), |end| number(end))?;
    if ends.len() > 1 && first >= end {
        return Err(format!("non-increasing order, previous: {first}, current: {end}"));
    }
    Ok((first, end))
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn indexes_are_counted() {
        for (given, want) in [("", Ok(0)), ("1", Ok(1)), ("0-3,5", Ok(5))] {
            assert_eq!(counted(given, 10), want, "{given}");
        }
        for (given, want) in [
            ("x", "cannot convert string to integer for index: \"x\""),
            ("3,2", "non-increasing order, previous: 3, current: 2"),
            ("10", "too large index: \"10\""),
        ] {
            assert_eq!(counted(given, 10), Err(want.to_string()), "{given}");
        }
        assert!(counted("1-2-3", 10).is_err());
    }
}
