//! The constants and functions of all groups, resolved against the type table once.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::{Conditional, Constant};
use crate::table::{FieldKind, Member, Table, TypeId};

const CONSTANTS: &[&[Constant]] = &[
    super::admission::CONSTANTS,
    super::apps::CONSTANTS,
    super::autoscaling::CONSTANTS,
    super::batch::CONSTANTS,
    super::cluster::CONSTANTS,
    super::core::CONSTANTS,
    super::networking::CONSTANTS,
    super::pods::CONSTANTS,
    super::resource::CONSTANTS,
    super::storage::CONSTANTS,
];

const CONDITIONALS: &[&[Conditional]] = &[
    super::apps::CONDITIONALS,
    super::autoscaling::CONDITIONALS,
    super::batch::CONDITIONALS,
    super::cluster::CONDITIONALS,
    super::core::CONDITIONALS,
    super::networking::CONDITIONALS,
    super::pods::CONDITIONALS,
    super::resource::CONDITIONALS,
    super::storage::CONDITIONALS,
];

pub(super) struct Resolved {
    pub(super) field: &'static str,
    pub(super) value: Value,
    pub(super) over_zero: bool,
}

/// A field to walk into.
pub(super) struct Part {
    pub(super) field: &'static str,
    pub(super) kind: &'static FieldKind,
    pub(super) always: bool,
}

/// What happens to an object of one type.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) constants: Vec<Resolved>,
    pub(super) functions: Vec<fn(&mut Map<String, Value>)>,
    pub(super) resource_lists: Vec<&'static str>,
    pub(super) parts: Vec<Part>,
}

pub(super) struct Plan(HashMap<TypeId, Rules>);

impl Plan {
    pub(super) fn builtin() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| Plan::build(Table::builtin()))
    }

    /// `None` where nothing in the type or under it has a default.
    pub(super) fn rules(&self, ty: TypeId) -> Option<&Rules> {
        self.0.get(&ty)
    }

    fn build(table: &'static Table) -> Self {
        let mut own: HashMap<TypeId, Rules> = HashMap::new();
        for (id, ty) in table.types() {
            let rules = type_rules(table, id, ty.name);
            if !(rules.constants.is_empty() && rules.functions.is_empty() && rules.resource_lists.is_empty())
            {
                own.insert(id, rules);
            }
        }
        // Types that hold a type with rules have a way to walk; repeated until no more are found.
        loop {
            let mut grown = false;
            for (id, ty) in table.types() {
                let reaches =
                    || ty.fields.iter().any(|f| f.kind.struct_type().is_some_and(|t| own.contains_key(&t)));
                if !own.contains_key(&id) && reaches() {
                    own.insert(id, Rules::default());
                    grown = true;
                }
            }
            if !grown {
                break;
            }
        }
        let ids: Vec<TypeId> = own.keys().copied().collect();
        for id in ids {
            let fields = table.ty(id).fields.iter();
            let parts = fields
                .filter(|f| f.kind.struct_type().is_some_and(|t| own.contains_key(&t)))
                .map(|f| Part {
                    field: f.json_name,
                    kind: &f.kind,
                    always: !f.pointer() && matches!(f.kind, FieldKind::Struct(_)),
                })
                .collect();
            own.entry(id).or_default().parts = parts;
        }
        Self(own)
    }
}

/// Constants and functions of a type and of the structs that it inlines.
fn type_rules(table: &'static Table, id: TypeId, name: &'static str) -> Rules {
    let mut rules = Rules::default();
    let mut names = vec![name];
    inlined(table, id, &mut names);
    for name in names {
        for (_, field, json) in CONSTANTS.iter().copied().flatten().filter(|(ty, ..)| is_named(name, ty)) {
            let value = serde_json::from_str(json).expect("constants are valid JSON");
            push_constant(table, id, field, value, &mut rules);
        }
        rules.functions.extend(
            CONDITIONALS.iter().copied().flatten().filter(|(ty, _)| is_named(name, ty)).map(|(_, f)| *f),
        );
    }
    for field in &table.ty(id).fields {
        if let Some(value) = field.default().and_then(|json| serde_json::from_str(json).ok()) {
            push_constant(table, id, field.json_name, value, &mut rules);
        }
        let resources = name.starts_with("io.k8s.api.core.v1.") || name.starts_with("io.k8s.api.node.v1.");
        if resources && matches!(&field.kind, FieldKind::Map(inner) if **inner == FieldKind::Quantity) {
            rules.resource_lists.push(field.json_name);
        }
    }
    rules
}

fn push_constant(table: &'static Table, id: TypeId, field: &'static str, value: Value, rules: &mut Rules) {
    let declared =
        table.ty(id).field(field).expect("constants name fields that exist; a test walks all of them");
    let over_zero = !declared.pointer();
    // Zero over zero says nothing.
    if !(over_zero && super::is_zero(&value)) && rules.constants.iter().all(|known| known.field != field) {
        rules.constants.push(Resolved { field: declared.json_name, value, over_zero });
    }
}

fn inlined(table: &'static Table, id: TypeId, names: &mut Vec<&'static str>) {
    for member in &table.ty(id).members {
        if let Member::Inline { ty, .. } = member {
            names.push(table.ty(*ty).name);
            inlined(table, *ty, names);
        }
    }
}

fn is_named(full: &str, name: &str) -> bool {
    full == name || full.strip_prefix("io.k8s.api.") == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_exists() {
        let table = Table::builtin();
        let find = |name: &str| {
            let full = table.types().find(|(_, ty)| is_named(ty.name, name));
            full.map(|(_, ty)| ty).unwrap_or_else(|| panic!("{name} is in no version of the table"))
        };
        for (ty, field, json) in CONSTANTS.iter().copied().flatten() {
            assert!(find(ty).field(field).is_some(), "{ty} has no {field}");
            assert!(serde_json::from_str::<Value>(json).is_ok(), "{ty}.{field}: {json}");
        }
        for (ty, _) in CONDITIONALS.iter().copied().flatten() {
            find(ty);
        }
    }
}
