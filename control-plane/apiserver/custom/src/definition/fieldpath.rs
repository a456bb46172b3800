//! Paths of fields that a schema knows: `.spec.color`, `.spec.map['key']`.

use oarlock_api::Path;
use oarlock_api::structural::{Additional, Structural};

/// The path as faults tell it, and the schema that it leads to.
pub(crate) fn valid_path<'s>(
    text: &str,
    schema: &'s Structural,
    brackets: bool,
) -> Result<(Path, &'s Structural), String> {
    let (mut path, mut at, mut rest) = (Path::root(), schema, text);
    while let Some(c) = rest.chars().next() {
        match c {
            '.' => {
                let name = token(&rest[1..])?;
                (path, at) = step(&path, at, name)?;
                rest = &rest[1 + name.len()..];
            }
            '[' if !brackets => return Err("array notation is not allowed".into()),
            '[' => {
                let name = token(&rest[1..])?;
                let quoted = name.len() >= 2 && name.starts_with('\'') && name.ends_with('\'');
                if !quoted {
                    return Err(format!("expected single quoted string but got {name}"));
                }
                (path, at) = step(&path, at, &unescape(&name[1..name.len() - 1])?)?;
                rest = &rest[1 + name.len()..];
                if rest.is_empty() {
                    return Err("unexpected end of JSON path".into());
                }
                let Some(tail) = rest.strip_prefix(']') else {
                    return Err(format!("expected ] but got {}", token(rest)?));
                };
                rest = tail;
            }
            _ => return Err(format!("expected [ or . but got: {}", token(rest)?)),
        }
    }
    Ok((path, at))
}

/// Up to the next delimiter; a quoted text is one token.
fn token(text: &str) -> Result<&str, String> {
    let end = if let Some(inside) = text.strip_prefix('\'') {
        let mut escaped = false;
        let closed = inside.char_indices().find(|(_, c)| {
            let found = *c == '\'' && !escaped;
            escaped = *c == '\\' && !escaped;
            found
        });
        closed.map_or(text.len(), |(at, _)| at + 2)
    } else {
        match text.find(['.', '[', ']']) {
            Some(0) => 1,
            Some(at) => at,
            None => text.len(),
        }
    };
    if end == 0 { Err("unexpected end of JSON path".into()) } else { Ok(&text[..end]) }
}

fn step<'s>(path: &Path, schema: &'s Structural, name: &str) -> Result<(Path, &'s Structural), String> {
    let unknown = || "does not refer to a valid field".to_string();
    if !schema.properties.is_empty() {
        let below = schema.properties.get(name).ok_or_else(unknown)?;
        return Ok((path.child(name), below));
    }
    match &schema.additional {
        Additional::Schema(below) => Ok((path.key(name), below)),
        _ => Err(unknown()),
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some('\'') => '\'',
            Some('\\') => '\\',
            other => {
                let told = other.map(String::from).unwrap_or_default();
                return Err(format!("invalid string literal: invalid escape char \\{told}"));
            }
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_followed_through_the_schema() {
        let schema = Structural::read(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string"}, "odd.name": {"type": "string"},
            "m": {"type": "object", "additionalProperties": {"type": "integer"}}}}}}),
        );
        let cases: [(&str, bool, Result<&str, &str>); 9] = [
            (".spec.a", false, Ok("spec.a")),
            (".spec['odd.name']", true, Ok("spec.odd.name")),
            (".spec.m['k']", true, Ok("spec.m[k]")),
            (".spec.m.k", false, Ok("spec.m[k]")),
            (".spec['a']", false, Err("array notation is not allowed")),
            (".spec.b", true, Err("does not refer to a valid field")),
            ("spec", true, Err("expected [ or . but got: spec")),
            (".spec[a]", true, Err("expected single quoted string but got a")),
            (".spec.", true, Err("unexpected end of JSON path")),
        ];
        for (text, brackets, want) in cases {
            let got = valid_path(text, &schema, brackets).map(|(path, _)| path.as_str().to_string());
            assert_eq!(got, want.map(str::to_string).map_err(str::to_string), "{text}");
        }
    }
}
