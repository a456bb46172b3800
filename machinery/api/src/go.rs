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

/// As `encoding/json` prints it: what HTML would take for its own is escaped.
pub fn json(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)))
            }
            _ => out.push(letter),
        }
    }
    out
}

/// In quotes. (`%q`)
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(letter),
            '\0'..='\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
            // Rust escapes what cannot be seen, and what joins the letter before it, which Go prints.
            _ if letter.escape_debug().count() == 1 || letter.is_alphanumeric() => out.push(letter),
            '\u{80}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(letter))),
        }
    }
    out.push('"');
    out
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
    fn texts_are_quoted_as_by_go() {
        for (text, want) in [
            ("a\"b\\", r#""a\"b\\""#),
            ("\n\u{1}\u{7f}", r#""\n\x01\x7f""#),
            ("ü € ’", "\"ü € ’\""),
            ("\u{200b}\u{e0001}", r#""\u200b\U000e0001""#),
        ] {
            assert_eq!(quoted(text), want);
        }
        assert_eq!(json(&serde_json::json!({"a": "<&>"})), r#"{"a":"\u003c\u0026\u003e"}"#);
    }

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
