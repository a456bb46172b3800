//! Printer columns: what `kubectl get` shows of a custom resource.

use jiff::Timestamp;
use serde_json::Value;

use crate::jsonpath::JsonPath;

/// One column after the name.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub data_type: String,
    pub format: String,
    pub description: String,
    /// Above 0: with `-o wide` only.
    pub priority: i32,
    /// None where the path cannot be read: the column stays empty.
    path: Option<JsonPath>,
}

const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
     not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is \
     represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The columns of a version, without the name, which is always the first; the age where there are none.
pub(crate) fn read(version: &Value) -> Vec<Column> {
    let listed = version["additionalPrinterColumns"].as_array().map_or(&[][..], Vec::as_slice);
    if listed.is_empty() {
        return vec![Column {
            name: "Age".into(),
            data_type: "date".into(),
            format: String::new(),
            description: CREATED.into(),
            priority: 0,
            path: JsonPath::parse(".metadata.creationTimestamp").ok(),
        }];
    }
    listed.iter().map(column).collect()
}

fn column(value: &Value) -> Column {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_string();
    let path = text("jsonPath");
    let described = text("description");
    let description = if described.is_empty() {
        format!("Custom resource definition column (in JSONPath format): {path}")
    } else {
        described
    };
    Column {
        name: text("name"),
        data_type: text("type"),
        format: text("format"),
        description,
        priority: value["priority"].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or_default(),
        path: JsonPath::parse(&path).ok(),
    }
}

impl Column {
    /// The cell of an object; null where there is nothing to show.
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.as_ref().and_then(|path| path.first(object));
        let Some(value) = found else { return Value::Null };
        match (self.data_type.as_str(), value) {
            // As Go prints what is not there.
            ("string", Value::Null) => "<no value>".into(),
            ("string", Value::String(_)) => value.clone(),
            ("string", other) => other.to_string().into(),
            ("integer", Value::Number(number)) => match number.as_i64() {
                Some(int) => int.into(),
                #[expect(clippy::cast_possible_truncation, reason = "upstream truncates too")]
                None => number.as_f64().map_or(Value::Null, |float| (float as i64).into()),
            },
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("date", Value::String(text)) => age(text, now).into(),
            _ => Value::Null,
        }
    }
}

fn age(text: &str, now: Timestamp) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => oarlock_apiserver_kinds::human_duration(now.as_second() - at.as_second()),
        Err(_) => "<invalid>".into(),
    }
}
