//! Every kind of the table with every field set, in several flavours: no hook panics, whatever a stranger sends.

use oarlock_api::{FieldKind, TypeId};

use super::*;

/// Types hold themselves (schemas in schemas): not deeper than that.
const DEPTH_MAX: usize = 7;

/// What scalar fields hold in one flavour.
struct Flavour {
    text: &'static str,
    number: i64,
    truth: bool,
    items: usize,
}

const FLAVOURS: [Flavour; 4] = [
    Flavour { text: "", number: 0, truth: false, items: 0 },
    Flavour { text: "é/x:y.z", number: -1, truth: true, items: 1 },
    Flavour { text: "a", number: i64::MAX, truth: true, items: 2 },
    Flavour { text: "10.0.0.1/8", number: 1, truth: false, items: 1 },
];

fn made(kind: &FieldKind, flavour: &Flavour, depth: usize) -> Value {
    // Two of two of two are enough.
    let count = if depth < 3 { flavour.items } else { flavour.items.min(1) };
    let list = |item: &dyn Fn() -> Value| (0..count).map(|_| item()).collect::<Vec<_>>().into();
    match kind {
        FieldKind::Bool => flavour.truth.into(),
        FieldKind::Int32 => i32::try_from(flavour.number).unwrap_or(i32::MAX).into(),
        FieldKind::Int64 => flavour.number.into(),
        FieldKind::Float => 0.5.into(),
        FieldKind::Struct(ty) if depth < DEPTH_MAX => object(*ty, flavour, depth + 1),
        FieldKind::Struct(_) | FieldKind::RawExtension | FieldKind::FieldsV1 => json!({}),
        FieldKind::List(inner) => list(&|| made(inner, flavour, depth)),
        FieldKind::WrappedStrings => list(&|| flavour.text.into()),
        FieldKind::Map(inner) => json!({ flavour.text: made(inner, flavour, depth) }),
        FieldKind::Quantity => {
            ["0", if flavour.truth { "-1" } else { "1500m" }, "9223372036854775807E"][flavour.items].into()
        }
        FieldKind::IntOrString => {
            if flavour.truth {
                flavour.text.into()
            } else {
                flavour.number.into()
            }
        }
        FieldKind::Time => "2026-01-01T00:00:00Z".into(),
        FieldKind::MicroTime => "2026-01-01T00:00:00.000000Z".into(),
        _ => flavour.text.into(),
    }
}

fn object(ty: TypeId, flavour: &Flavour, depth: usize) -> Value {
    let fields = Table::builtin().ty(ty).fields.iter();
    fields.map(|field| (field.json_name.to_string(), made(&field.kind, flavour, depth))).collect()
}

#[test]
fn no_hook_panics() {
    for api in Table::builtin().resources().iter().filter(|api| api.has_verb("watch")) {
        let ty = Table::builtin().type_of(api.group, api.version, api.kind).expect("a type");
        let strategy = strategy_for(&api.group_resource());
        let mut all: Vec<Value> = FLAVOURS.iter().map(|flavour| object(ty, flavour, 0)).collect();
        all.push(json!({}));
        for first in &all {
            let mut fresh = first.clone();
            strategy.prepare_for_create(&context(""), &mut fresh);
            strategy.validate_create(&context(""), &fresh);
            strategy.warnings(&context(""), &fresh, None);
            strategy.selectable_fields(&fresh);
            strategy.table_cells(&fresh, Timestamp::UNIX_EPOCH);
            strategy.graceful_delete(&fresh, None);
            for second in &all {
                for subresource in
                    ["", "status", "scale", "approval", "finalize", "resize", "ephemeralcontainers"]
                {
                    let mut new = second.clone();
                    strategy.prepare_for_update(&context(subresource), &mut new, first);
                    strategy.validate_update(&context(subresource), &new, first);
                    strategy.warnings(&context(subresource), &new, Some(first));
                    strategy.generation_changes(&new, first);
                    strategy.canonicalize(&mut new);
                }
            }
        }
    }
}
