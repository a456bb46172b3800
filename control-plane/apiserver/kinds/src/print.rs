//! How table cells are written. (`pkg/printers/internalversion`, `apimachinery/pkg/util/duration`)

use jiff::Timestamp;
use oarlock_api::selector::LabelSelector;
use serde_json::Value;

use crate::value::{entries, items, text};

pub(crate) const NONE: &str = "<none>";
pub(crate) const UNSET: &str = "<unset>";
pub(crate) const UNKNOWN: &str = "<unknown>";

/// `5m`, or `<unknown>` where there is no time.
pub(crate) fn since(time: &Value, now: Timestamp) -> String {
    match time_of(time) {
        Some(at) => human_duration(now.as_second() - at.as_second()),
        None => UNKNOWN.into(),
    }
}

pub(crate) fn time_of(time: &Value) -> Option<Timestamp> {
    text(time).parse().ok()
}

pub(crate) fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now).into()
}

/// As `duration.HumanDuration`: two units while they are small.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..0 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        120..10800 => format!("{minutes}m"),
        10800..28800 if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        10800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 != 0 => format!("{days}d{}h", hours % 24),
        172_800..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 if days % 365 != 0 => format!("{}y{}d", days / 365, days % 365),
        _ => format!("{}y", days / 365),
    }
}

pub(crate) fn or<'a>(value: &'a str, other: &'a str) -> &'a str {
    if value.is_empty() { other } else { value }
}

pub(crate) fn text_or(value: &Value, other: &str) -> Value {
    or(text(value), other).into()
}

/// A plain map of labels.
pub(crate) fn labels(map: &Value) -> Value {
    let pairs: Vec<String> = entries(map).map(|(key, value)| format!("{key}={}", text(value))).collect();
    or(&pairs.join(","), NONE).into()
}

/// A `metav1.LabelSelector`.
pub(crate) fn selector(selector: &Value) -> Value {
    match LabelSelector::from_value(selector) {
        Ok(selector) => or(&selector.to_string(), NONE).into(),
        Err(_) => "<error>".into(),
    }
}

/// One field of every item, comma-separated.
pub(crate) fn joined(list: &Value, field: &str) -> Value {
    items(list).iter().map(|item| text(&item[field])).collect::<Vec<_>>().join(",").into()
}

/// A number or a percentage, or `absent`.
pub(crate) fn int_or_string(value: &Value, absent: &str) -> String {
    match value {
        Value::Null => absent.into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// At most `max`, and how many more.
pub(crate) fn first_of(all: &[String], max: usize) -> String {
    let shown = all[..all.len().min(max)].join(",");
    if all.len() > max { format!("{shown} + {} more...", all.len() - max) } else { shown }
}

/// Addresses and names of a load balancer, sorted.
pub(crate) fn load_balancer(status: &Value) -> String {
    let named = |ingress: &Value| {
        let ip = text(&ingress["ip"]);
        or(ip, text(&ingress["hostname"])).to_string()
    };
    let mut all: Vec<String> =
        items(&status["ingress"]).iter().map(named).filter(|n| !n.is_empty()).collect();
    all.sort();
    all.dedup();
    all.join(",")
}

pub(crate) fn name_of(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

/// Name and time of creation: kinds without columns of their own.
pub(crate) fn name_and_creation(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name_of(object), object["metadata"]["creationTimestamp"].clone()]
}

pub(crate) fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name_of(object), age(object, now)]
}

pub(crate) fn has_condition(object: &Value, kind: &str) -> bool {
    items(&object["status"]["conditions"]).iter().any(|c| c["type"] == kind && c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_upstreams() {
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (600, "10m"),
            (7200, "120m"),
            (10860, "3h1m"),
            (28800, "8h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
        ];
        for (seconds, want) in cases {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
    }
}
