//! Random objects of any type of the table, in normal form.

use oarlock_api::table::{Field, FieldKind, Table, TypeId};
use serde_json::{Map, Value, json};

/// Choices drawn from bytes, so that a failing object shrinks with them.
pub(crate) struct Choices<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Choices<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// When the bytes run out everything is zero, which ends the object.
    fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        byte
    }

    fn below(&mut self, n: u8) -> u8 {
        self.byte() % n
    }

    pub(crate) fn number(&mut self) -> i64 {
        let bytes = [
            self.byte(),
            self.byte(),
            self.byte(),
            self.byte(),
            self.byte(),
            self.byte(),
            self.byte(),
            self.byte(),
        ];
        i64::from_le_bytes(bytes) >> (u32::from(self.byte()) % 64)
    }
}

/// An object of a type; `density` of 255 fields are set.
pub(crate) fn object(table: &Table, ty: TypeId, choices: &mut Choices<'_>, density: u8, depth: u8) -> Value {
    let mut object = Map::new();
    for field in &table.ty(ty).fields {
        // k8s-openapi knows no unset time where upstream's type cannot leave it out.
        let required = matches!(field.kind, FieldKind::Time | FieldKind::MicroTime) && !field.omitempty();
        if field.tag == 0 || (choices.byte() >= density.max(1) && !required) {
            continue;
        }
        if let Some(value) = field_value(table, field, choices, density, depth) {
            object.insert(field.json_name.to_string(), value);
        }
    }
    Value::Object(object)
}

fn field_value(
    table: &Table,
    field: &Field,
    choices: &mut Choices<'_>,
    density: u8,
    depth: u8,
) -> Option<Value> {
    let value = kind_value(table, &field.kind, choices, density, depth)?;
    let empty = match &value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty() && !field.pointer(),
        Value::Bool(set) => !set && !field.pointer(),
        Value::String(text) => text.is_empty() && !field.pointer(),
        Value::Number(n) => {
            n.as_f64() == Some(0.0) && !field.pointer() && field.kind != FieldKind::IntOrString
        }
        Value::Null => true,
    };
    (!empty).then_some(value)
}

fn kind_value(table: &Table, kind: &FieldKind, c: &mut Choices<'_>, density: u8, depth: u8) -> Option<Value> {
    let deeper = depth.checked_sub(1);
    Some(match kind {
        FieldKind::Bool => json!(c.below(2) == 1),
        FieldKind::Int32 => json!(c.number() as i32),
        FieldKind::Int64 => json!(c.number()),
        FieldKind::Float => float(c),
        FieldKind::String => json!(text(c)),
        FieldKind::Enum(id) => match table.named_string(*id).values.as_slice() {
            [] => json!(text(c)),
            values => json!(values[usize::from(c.byte()) % values.len()]),
        },
        FieldKind::Bytes => json!(["aGk=", "AAECAw==", "/+8="][usize::from(c.below(3))]),
        FieldKind::Struct(id) | FieldKind::SchemaOrStrings(id)
            if c.below(2) == 0 || matches!(kind, FieldKind::Struct(_)) =>
        {
            object(table, *id, c, density, deeper?)
        }
        FieldKind::SchemaOrArray(id) if c.below(2) == 0 => object(table, *id, c, density, deeper?),
        FieldKind::SchemaOrBool(id) if c.below(2) == 0 => object(table, *id, c, density, deeper?),
        FieldKind::SchemaOrBool(_) => json!(c.below(2) == 1),
        FieldKind::SchemaOrArray(id) => json!([object(table, *id, c, density, deeper?)]),
        FieldKind::Struct(_) => return None,
        FieldKind::List(element) => {
            let count = c.below(3);
            Value::Array((0..count).filter_map(|_| kind_value(table, element, c, density, depth)).collect())
        }
        FieldKind::WrappedStrings | FieldKind::SchemaOrStrings(_) => json!([text(c), "x"]),
        FieldKind::Map(value) => {
            let mut map = Map::new();
            for _ in 0..c.below(3) {
                map.insert(text(c), kind_value(table, value, c, density, depth)?);
            }
            Value::Object(map)
        }
        FieldKind::Quantity => json!(["1", "500m", "1Gi", "100M", "0", "1500m"][usize::from(c.below(6))]),
        FieldKind::IntOrString if c.below(2) == 0 => json!(c.number() as i32),
        FieldKind::IntOrString => json!(["25%", "http", ""][usize::from(c.below(3))]),
        FieldKind::Time => json!(
            ["2024-02-29T23:59:59Z", "1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z"][usize::from(c.below(3))]
        ),
        FieldKind::MicroTime => {
            json!(["2024-02-29T23:59:59.000001Z", "1969-12-31T23:59:59.250000Z"][usize::from(c.below(2))])
        }
        FieldKind::Duration => json!(["1m30s", "100ms", "1h0m0s", "-1.5s"][usize::from(c.below(4))]),
        FieldKind::RawExtension => json!({"kind": "X", "list": [1, null, "a"], "n": c.number()}),
        FieldKind::FieldsV1 => json!({"f:metadata": {"f:name": {}}}),
        FieldKind::Json => match c.below(3) {
            0 => json!({"a": [c.number()]}),
            1 => json!("text"),
            _ => json!(1.5),
        },
        FieldKind::Any => return None,
    })
}

fn float(c: &mut Choices<'_>) -> Value {
    let n = c.number() as i32;
    if c.below(2) == 0 { json!(n) } else { json!(f64::from(n) + 0.5) }
}

fn text(c: &mut Choices<'_>) -> String {
    ["a", "app.kubernetes.io/name", "web-0", "naïve ✓", "q\"uo\\te\n", "\u{1F980}", "x y"]
        [usize::from(c.below(7))]
    .to_string()
}
