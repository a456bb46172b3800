//! Values as Go prints them: upstream's messages hold them so.

use serde_json::{Map, Value};

/// The type of a value that was read from JSON (`%T`).
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `map[a:1 b:[x y]]` (`%v`)
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(k, v)| format!("{k}:{}", plain(v))).collect();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

/// `map[string]interface {}{"a":1}` (`%#v`)
pub fn syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => syntax_of_map(members),
        other => other.to_string(),
    }
}

fn syntax_of_map(members: &Map<String, Value>) -> String {
    let members: Vec<String> = members.iter().map(|(k, v)| format!("{k:?}:{}", syntax(v))).collect();
    format!("map[string]interface {{}}{{{}}}", members.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_as_gos() {
        let value = json!({"a": [1, "x", null], "b": {"c": 1.5, "d": true}});
        assert_eq!(plain(&value), "map[a:[1 x <nil>] b:map[c:1.5 d:true]]");
        let written = r#"map[string]interface {}{"a":[]interface {}{1, "x", interface {}(nil)}, "b":map[string]interface {}{"c":1.5, "d":true}}"#;
        assert_eq!(syntax(&value), written);
        for (value, name) in [(json!(1), "int64"), (json!(1.0), "float64"), (json!(u64::MAX), "float64")] {
            assert_eq!(type_of(&value), name);
        }
    }
}
