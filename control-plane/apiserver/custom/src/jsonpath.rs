//! kubectl's JSONPath, as printer columns and selectable fields write it: `.status.conditions[?(@.type=="Ready")].status`.
//! What is missing gives nothing.

use std::cmp::Ordering;

use serde_json::Value;

/// Values found by one path; enough for anything that is printed.
const FOUND_MAX: usize = 1000;

/// A path of a printer column or selectable field, in the part of kubectl's JSONPath that finds values.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    /// `[*]`, `.*`
    All,
    /// `..`
    Deep,
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Index(i64),
    Filter {
        left: Operand,
        test: Option<(Comparison, Operand)>,
    },
    Union(Vec<Step>),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Path(JsonPath),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("unterminated array")]
    Array,
    #[error("unterminated filter")]
    Filter,
    #[error("invalid array index {0}")]
    Index(String),
    #[error("unrecognized character in path: {0:?}")]
    Character(char),
    #[error("the path is nested too deeply")]
    Depth,
}

impl JsonPath {
    /// Reads a path as it stands in a CustomResourceDefinition: without braces.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parse(text, 0)
    }

    /// Everything that the path leads to.
    pub fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![root];
        for step in &self.0 {
            let mut next = Vec::new();
            found.into_iter().for_each(|value| step.walk(value, &mut next));
            next.truncate(FOUND_MAX);
            found = next;
        }
        found
    }

    /// The first thing that the path leads to.
    pub fn first<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.find(root).into_iter().next()
    }

    /// The fields from the root, where the path is nothing else.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let field = |step: &'_ Step| match step {
            Step::Field(name) => Some(name.clone()),
            _ => None,
        };
        let _: Vec<String> = self.0.iter().map(field).collect::<Option<_>>()?;
        Some(
            self.0
                .iter()
                .filter_map(|step| if let Step::Field(name) = step { Some(name.as_str()) } else { None })
                .collect(),
        )
    }
}

impl Step {
    fn walk<'v>(&self, value: &'v Value, found: &mut Vec<&'v Value>) {
        if found.len() > FOUND_MAX {
            return;
        }
        match (self, value) {
            (Self::Field(name), Value::Object(fields)) => found.extend(fields.get(name)),
            (Self::All, Value::Object(fields)) => found.extend(fields.values()),
            (Self::All, Value::Array(items)) => found.extend(items),
            (Self::Deep, _) => descend(value, found),
            (Self::Index(index), Value::Array(items)) => {
                let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let at = if *index < 0 { index + size } else { *index };
                found.extend(usize::try_from(at).ok().and_then(|at| items.get(at)));
            }
            (Self::Slice { start, end, step }, Value::Array(items)) => {
                let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let place = |at: i64| {
                    usize::try_from(if at < 0 { at + size } else { at }.clamp(0, size)).unwrap_or(0)
                };
                let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(size)));
                let step = usize::try_from(*step).unwrap_or(1).max(1);
                found.extend(items[start.min(end)..end].iter().step_by(step));
            }
            (Self::Filter { left, test }, Value::Array(items)) => {
                found.extend(items.iter().filter(|item| holds(left, test.as_ref(), item)));
            }
            (Self::Union(steps), _) => steps.iter().for_each(|step| step.walk(value, found)),
            _ => {}
        }
    }
}

fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    if found.len() > FOUND_MAX {
        return;
    }
    match value {
        Value::Object(fields) => {
            found.push(value);
            fields.values().for_each(|value| descend(value, found));
        }
        Value::Array(items) => {
            found.push(value);
            items.iter().for_each(|value| descend(value, found));
        }
        _ => {}
    }
}

fn holds(left: &Operand, test: Option<&(Comparison, Operand)>, item: &Value) -> bool {
    let value = |operand: &Operand| match operand {
        Operand::Path(path) => path.first(item).cloned(),
        Operand::Literal(value) => Some(value.clone()),
    };
    let Some((comparison, right)) = test else { return value(left).is_some() };
    let (Some(left), Some(right)) = (value(left), value(right)) else { return false };
    let order = match (&left, &right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if a == b => Some(Ordering::Equal),
        _ => None,
    };
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    }
}

fn parse(text: &str, depth: usize) -> Result<JsonPath, PathError> {
    if depth > 8 {
        return Err(PathError::Depth);
    }
    let mut steps = Vec::new();
    let mut rest = text.trim();
    while let Some(c) = rest.chars().next() {
        match c {
            '.' if rest.starts_with("..") => {
                steps.push(Step::Deep);
                rest = &rest[2..];
                if !rest.starts_with('[') && !rest.is_empty() {
                    rest = field(rest, &mut steps);
                }
            }
            '.' => rest = field(&rest[1..], &mut steps),
            '[' => {
                let end = closing(rest)?;
                steps.push(bracket(&rest[1..end], depth)?);
                rest = &rest[end + 1..];
            }
            '$' | '@' if steps.is_empty() => rest = &rest[1..],
            other if steps.is_empty() && (other.is_alphanumeric() || other == '_') => {
                rest = field(rest, &mut steps);
            }
            other => return Err(PathError::Character(other)),
        }
    }
    Ok(JsonPath(steps))
}

/// Reads a name up to the next step; a backslash takes what follows as it is.
fn field<'t>(text: &'t str, steps: &mut Vec<Step>) -> &'t str {
    let (mut name, mut end, mut escaped) = (String::new(), text.len(), false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' | '[' | ' ' => {
                end = at;
                break;
            }
            _ => name.push(c),
        }
    }
    if name == "*" {
        steps.push(Step::All);
    } else if !name.is_empty() {
        steps.push(Step::Field(name));
    }
    text[end..].trim_start_matches(' ')
}

/// Where the bracket that opens a text is closed.
fn closing(text: &str) -> Result<usize, PathError> {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', _) => escaped = true,
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('[' | '(', None) => depth += 1,
            (']' | ')', None) => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at);
                }
            }
            _ => {}
        }
    }
    Err(PathError::Array)
}

fn bracket(text: &str, depth: usize) -> Result<Step, PathError> {
    let text = text.trim();
    if let Some(filter) = text.strip_prefix('?') {
        let inside = filter.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        return self::filter(inside.ok_or(PathError::Filter)?, depth);
    }
    let parts = split_unquoted(text, ',');
    if parts.len() > 1 {
        let steps: Result<Vec<Step>, PathError> =
            parts.into_iter().map(|part| bracket(part, depth)).collect();
        return Ok(Step::Union(steps?));
    }
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(name) = unquoted(text) {
        return Ok(Step::Field(name));
    }
    let number = |part: &str| match part.trim() {
        "" => Ok(None),
        digits => digits.parse::<i64>().map(Some).map_err(|_| PathError::Index(text.to_string())),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [index] => Ok(Step::Index(number(index)?.ok_or_else(|| PathError::Index(text.to_string()))?)),
        [start, end] => Ok(Step::Slice { start: number(start)?, end: number(end)?, step: 1 }),
        [start, end, step] => {
            Ok(Step::Slice { start: number(start)?, end: number(end)?, step: number(step)?.unwrap_or(1) })
        }
        _ => Err(PathError::Index(text.to_string())),
    }
}

fn filter(text: &str, depth: usize) -> Result<Step, PathError> {
    const COMPARISONS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    for (sign, comparison) in COMPARISONS {
        if let Some(at) = find_unquoted(text, sign) {
            let (left, right) = (operand(&text[..at], depth)?, operand(&text[at + sign.len()..], depth)?);
            return Ok(Step::Filter { left, test: Some((comparison, right)) });
        }
    }
    Ok(Step::Filter { left: operand(text, depth)?, test: None })
}

fn operand(text: &str, depth: usize) -> Result<Operand, PathError> {
    let text = text.trim();
    if let Some(literal) = unquoted(text) {
        return Ok(Operand::Literal(literal.into()));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(literal @ (Value::Number(_) | Value::Bool(_))) => Ok(Operand::Literal(literal)),
        _ => parse(text, depth + 1).map(Operand::Path),
    }
}

fn unquoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = text[1..].strip_suffix(quote)?;
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    Some(out)
}

fn find_unquoted(text: &str, sign: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            _ if text[at..].starts_with(sign) => return Some(at),
            _ => {}
        }
    }
    None
}

fn split_unquoted(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = find_unquoted(rest, &separator.to_string()) {
        parts.push(&rest[..at]);
        rest = &rest[at + separator.len_utf8()..];
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_where_they_say() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "dotted"}},
            "spec": {"list": [{"n": 1, "name": "a"}, {"n": 2, "name": "b"}], "x": null},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        let cases = [
            (".spec.list[*].name", json!(["a", "b"])),
            (".spec.list[0].name", json!(["a"])),
            (".spec.list[-1].n", json!([2])),
            (".spec.list[0:1].n", json!([1])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type=='Other')].status", json!(["False"])),
            (".spec.list[?(@.n>1)].name", json!(["b"])),
            (".spec.list[?(@.missing)].name", json!([])),
            (".metadata.annotations['a\\.b/c']", json!(["dotted"])),
            (".metadata.annotations['a.b/c']", json!(["dotted"])),
            (".metadata.annotations.a\\.b/c", json!(["dotted"])),
            ("..name", json!(["a", "b"])),
            (".spec['list'][0,1].n", json!([1, 2])),
            (".missing.deep[3]", json!([])),
            (".spec.x", json!([null])),
        ];
        for (path, want) in cases {
            let found = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(json!(found.find(&object)), want, "{path}");
        }
        for bad in [".a[", ".a[?(@.b]", ".a[x]", "%"] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
    }
}
