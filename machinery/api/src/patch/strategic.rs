//! Strategic merge patch: a merge patch that merges lists by key where the type table says so, with directives.
//!
//! `$patch: replace|delete` on objects and items, `$retainKeys`, `$setElementOrder/LIST` and
//! `$deleteFromPrimitiveList/LIST`.

use serde_json::{Map, Value};

use super::PatchError;
use super::order::{normalize, position};
use crate::table::{Field, FieldKind, Table, TypeId};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER_PREFIX: &str = "$setElementOrder";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";

/// What the table knows of the place where the merge is.
#[derive(Clone, Copy)]
enum Schema<'t> {
    Struct(TypeId),
    Map(&'t FieldKind),
    /// Arbitrary JSON.
    Open,
}

/// How one field merges.
struct Rule<'t> {
    element: Schema<'t>,
    merge: bool,
    replace: bool,
    key: &'t str,
}

/// Applies a strategic merge patch to an object of type `ty`.
pub fn strategic_merge(
    table: &Table,
    ty: TypeId,
    original: &Value,
    patch: &Value,
) -> Result<Value, PatchError> {
    let (Value::Object(original), Value::Object(patch)) = (original, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".to_string()));
    };
    Merge { table }.map(original.clone(), patch.clone(), Schema::Struct(ty)).map(Value::Object)
}

fn bad_request(told: &str) -> PatchError {
    PatchError::Malformed(told.to_string())
}

fn no_merge_key(item: &Value, key: &str) -> PatchError {
    PatchError::Unmergeable(format!("map: {} does not contain declared merge key: {key}", go(item)))
}

fn bad_argument(expected: &str, actual: &Value) -> PatchError {
    let received = match actual {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    PatchError::Unmergeable(format!("expected a {expected}, but received a {received}"))
}

/// A value as Go prints it with `%v`.
fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(k, v)| format!("{k}:{}", go(v))).collect();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

/// What stays of a patch where there is nothing to merge it with: no nulls, no directives.
fn settled(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(k, v)| !v.is_null() && !is_directive(k))
                .map(|(k, v)| (k, settled(v)))
                .collect(),
        ),
        Value::Array(items) => {
            Value::Array(items.into_iter().filter(|item| !is_order(item)).map(settled).collect())
        }
        other => other,
    }
}

/// An item that only says what to do: `$patch: delete` of something, or a bare `$patch: replace`.
fn is_order(item: &Value) -> bool {
    match item.get(DIRECTIVE).and_then(Value::as_str) {
        Some("delete") => true,
        Some("replace") => item.as_object().is_some_and(|members| members.len() == 1),
        _ => false,
    }
}

fn is_directive(key: &str) -> bool {
    key == DIRECTIVE || key == RETAIN_KEYS || key.starts_with(ORDER_PREFIX) || key.starts_with(DELETE_PREFIX)
}

struct Merge<'t> {
    table: &'t Table,
}

impl<'t> Merge<'t> {
    fn schema(kind: &'t FieldKind) -> Schema<'t> {
        match kind {
            FieldKind::Struct(id) => Schema::Struct(*id),
            FieldKind::Map(inner) => Schema::Map(inner),
            FieldKind::SchemaOrArray(id) | FieldKind::SchemaOrBool(id) | FieldKind::SchemaOrStrings(id) => {
                Schema::Struct(*id)
            }
            _ => Schema::Open,
        }
    }

    fn element(kind: &'t FieldKind) -> Schema<'t> {
        match kind {
            FieldKind::List(inner) => Self::schema(inner),
            kind => Self::schema(kind),
        }
    }

    fn rule(&self, schema: Schema<'t>, key: &str) -> Result<Rule<'t>, PatchError> {
        let plain = |element| Rule { element, merge: false, replace: false, key: "" };
        match schema {
            Schema::Open => Ok(plain(Schema::Open)),
            Schema::Map(inner) => Ok(plain(Self::element(inner))),
            Schema::Struct(id) => {
                let ty = self.table.ty(id);
                let field: &Field = ty.field(key).ok_or_else(|| {
                    let name = ty.short_name();
                    PatchError::Unmergeable(format!(
                        "unable to find api field in struct {name} for the json field {key:?}"
                    ))
                })?;
                Ok(Rule {
                    element: Self::element(&field.kind),
                    merge: field.patch_strategy().contains(&"merge"),
                    replace: field.patch_strategy().contains(&"replace"),
                    key: field.patch_merge_key().unwrap_or_default(),
                })
            }
        }
    }

    fn map(
        &self,
        mut original: Map<String, Value>,
        mut patch: Map<String, Value>,
        schema: Schema<'t>,
    ) -> Result<Map<String, Value>, PatchError> {
        if let Some(directive) = patch.remove(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => Ok(patch),
                Some("delete") => Ok(Map::new()),
                _ => {
                    let told = format!(
                        "unknown patch type: {} in map: {}",
                        go(&directive),
                        go(&Value::Object(patch))
                    );
                    Err(PatchError::Unmergeable(told))
                }
            };
        }
        retain_keys(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, schema)?;
        for (key, change) in patch {
            match list_name(&key, DELETE_PREFIX) {
                None => self.member(&mut original, key, change, schema)?,
                Some(None) => return Err(bad_request("invalid patch format of primitive list")),
                Some(Some(list)) => delete_from(&mut original, list, &change),
            }
        }
        Ok(original)
    }

    fn member(
        &self,
        original: &mut Map<String, Value>,
        key: String,
        change: Value,
        schema: Schema<'t>,
    ) -> Result<(), PatchError> {
        if change.is_null() {
            original.remove(&key);
            return Ok(());
        }
        let merged = match (original.get_mut(&key).map(Value::take), change) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let rule = self.rule(schema, &key)?;
                Value::Object(if rule.replace { new } else { self.map(old, new, rule.element)? })
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let rule = self.rule(schema, &key)?;
                Value::Array(if rule.merge { self.list(old, new, &rule)? } else { new })
            }
            (_, new) => settled(new),
        };
        original.insert(key, merged);
        Ok(())
    }

    fn list(
        &self,
        original: Vec<Value>,
        patch: Vec<Value>,
        rule: &Rule<'t>,
    ) -> Result<Vec<Value>, PatchError> {
        let Some(of_maps) = element_kind(&original, &patch)? else { return Ok(original) };
        if !of_maps {
            let mut merged = original.clone();
            for item in &patch {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            return Ok(normalize(merged, &patch, &original, ""));
        }
        if rule.key.is_empty() {
            let told = "cannot merge lists without merge key for type struct";
            return Err(PatchError::Unmergeable(told.to_string()));
        }
        let (original, patch) = special_items(original, patch, rule.key)?;
        for item in &original {
            if item.get(rule.key).is_none() {
                return Err(no_merge_key(item, rule.key));
            }
        }
        let mut merged = original.clone();
        for item in &patch {
            if item.get(rule.key).is_none() {
                return Err(no_merge_key(item, rule.key));
            }
            match position(&merged, item, rule.key) {
                Some(at) => {
                    if let (Value::Object(old), Value::Object(new)) = (merged[at].take(), item.clone()) {
                        merged[at] = Value::Object(self.map(old, new, rule.element)?);
                    }
                }
                None => merged.push(settled(item.clone())),
            }
        }
        Ok(normalize(merged, &patch, &original, rule.key))
    }

    /// `$setElementOrder/LIST`: merges the list and puts it in that order.
    fn ordered_lists(
        &self,
        original: &mut Map<String, Value>,
        patch: &mut Map<String, Value>,
        schema: Schema<'t>,
    ) -> Result<(), PatchError> {
        let directives: Vec<String> =
            patch.keys().filter(|key| key.starts_with(ORDER_PREFIX)).cloned().collect();
        for directive in directives {
            let order = patch.remove(&directive).unwrap_or_default();
            let Some(Some(name)) = list_name(&directive, ORDER_PREFIX) else {
                return Err(bad_request("invalid patch format of setElementOrder list"));
            };
            let Value::Array(order) = order else { return Err(bad_argument("[]interface {}", &order)) };
            let take = |value: Option<&Value>| match value {
                None => Ok(None),
                Some(Value::Array(items)) => Ok(Some(items.clone())),
                Some(other) => Err(bad_argument("[]interface {}", other)),
            };
            let (old, new) = (take(original.get(name))?, take(patch.get(name))?);
            let rule = self.rule(schema, name)?;
            check_order(new.as_deref().unwrap_or_default(), &order, rule.key)?;
            let server_order = old.clone().unwrap_or_default();
            let merged = match (old, new) {
                (None, None) => continue,
                (Some(old), None) => old,
                (None, Some(new)) => match settled(Value::Array(new)) {
                    Value::Array(items) => items,
                    _ => Vec::new(),
                },
                (Some(old), Some(new)) if rule.merge => self.list(old, new, &rule)?,
                (Some(_), Some(new)) => new,
            };
            let keyless = |item: &&Value| !rule.key.is_empty() && item.get(rule.key).is_none();
            if let Some(item) = merged.iter().find(keyless) {
                return Err(no_merge_key(item, rule.key));
            }
            original
                .insert(name.to_string(), Value::Array(normalize(merged, &order, &server_order, rule.key)));
            patch.remove(name);
        }
        Ok(())
    }
}

/// `PREFIX/LIST`: the inner is the list's name; `Some(None)` where it is missing.
fn list_name<'k>(key: &'k str, prefix: &str) -> Option<Option<&'k str>> {
    key.strip_prefix(prefix).map(|rest| rest.strip_prefix('/'))
}

fn delete_from(original: &mut Map<String, Value>, list: &str, gone: &Value) {
    if let (Some(Value::Array(items)), Value::Array(gone)) = (original.get_mut(list), gone) {
        items.retain(|item| !gone.contains(item));
    }
}

/// `$retainKeys`: what it does not name goes.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let told = "invalid patch format of retainKeys";
    let Value::Array(keys) = keys else { return Err(bad_request(told)) };
    let kept = |key: &str| keys.iter().any(|kept| kept.as_str() == Some(key));
    for (key, change) in patch.iter() {
        let parallel = key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX);
        if !change.is_null() && !parallel && !kept(key) {
            return Err(bad_request(told));
        }
    }
    original.retain(|key, _| kept(key));
    Ok(())
}

/// Whether the lists hold objects; `None` where both are empty. All items must be of one kind, and no lists.
fn element_kind(original: &[Value], patch: &[Value]) -> Result<Option<bool>, PatchError> {
    let Some(first) = original.iter().chain(patch).next() else { return Ok(None) };
    if first.is_array() {
        return Err(PatchError::Inapplicable("lists of lists are not supported".to_string()));
    }
    if original.iter().chain(patch).any(|item| std::mem::discriminant(item) != std::mem::discriminant(first))
    {
        let list = |items: &[Value]| go(&Value::Array(items.to_vec()));
        let told = format!("list element types are not identical: [{} {}]", list(original), list(patch));
        return Err(PatchError::Unmergeable(told));
    }
    Ok(Some(first.is_object()))
}

/// Carries out the items with `$patch`; gives the list and the patch without them.
fn special_items(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut plain, mut replace) = (Vec::with_capacity(patch.len()), false);
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let Some(gone) = item.get(key) else { return Err(no_merge_key(&item, key)) };
                original.retain(|old| old.get(key) != Some(gone));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                let told = "merging lists cannot yet be specified in the patch";
                return Err(PatchError::Unmergeable(told.to_string()));
            }
            _ => {
                let told = format!("unknown patch type: {} in map: {}", go(directive), go(&item));
                return Err(PatchError::Unmergeable(told));
            }
        }
    }
    if replace { Ok((plain, Vec::new())) } else { Ok((original, plain)) }
}

/// The items of the patch must stand in the order that `$setElementOrder` gives, deletions apart.
fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if order.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in patch.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        if !key.is_empty() {
            for entry in std::iter::once(item).chain(order) {
                if !entry.is_object() {
                    return Err(bad_argument("map[string]interface {}", entry));
                }
                if entry.get(key).is_none() {
                    return Err(no_merge_key(entry, key));
                }
            }
        }
        if !rest.any(|entry| super::order::same(entry, item, key)) {
            let (patch, order) = (go(&Value::Array(patch.to_vec())), go(&Value::Array(order.to_vec())));
            let told =
                format!("The order in patch list:\n{patch}\n doesn't match {ORDER_PREFIX} list:\n{order}\n");
            return Err(PatchError::Unmergeable(told));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "strategic_tests.rs"]
mod tests;
