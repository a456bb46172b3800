//! Strategic merge patch: a merge patch that merges lists by key where the type table says so, with directives.
//!
//! `$patch: replace|delete` on objects and items, `$retainKeys`, `$setElementOrder/LIST` and
//! `$deleteFromPrimitiveList/LIST`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::PatchError;
use super::order::{Index, key_of, normalize};
use crate::go;
use crate::table::{FieldKind, Table, TypeId};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER_PREFIX: &str = "$setElementOrder";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";

/// What the table knows of the place where the merge is.
#[derive(Clone, Copy)]
enum Shape<'t> {
    Struct(TypeId),
    Map(&'t FieldKind),
    /// A Go struct that hides what it holds; nothing merges below it.
    Hidden(&'static str),
    /// Arbitrary JSON.
    Open,
}

/// How one field merges.
struct Rule<'t> {
    element: Shape<'t>,
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
    let mut merged = original.clone();
    strategic_merge_into(table, ty, &mut merged, patch)?;
    Ok(merged)
}

/// Applies a strategic merge patch to an object of type `ty` in place. After an error the object is of no use.
pub fn strategic_merge_into(
    table: &Table,
    ty: TypeId,
    object: &mut Value,
    patch: &Value,
) -> Result<(), PatchError> {
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".to_string()));
    };
    Merge { table }.map(object, patch, Shape::Struct(ty))
}

fn bad_request(told: &str) -> PatchError {
    PatchError::Malformed(told.to_string())
}

fn unmergeable(told: impl Into<String>) -> PatchError {
    PatchError::Unmergeable(told.into())
}

fn no_merge_key(item: &Value, key: &str) -> PatchError {
    unmergeable(format!("map: {} does not contain declared merge key: {key}", go::plain(item)))
}

fn unknown_directive(directive: &Value, patch: &Value) -> PatchError {
    unmergeable(format!("unknown patch type: {} in map: {}", go::plain(directive), go::plain(patch)))
}

fn bad_argument(expected: &str, actual: &Value) -> PatchError {
    let received = if actual.is_null() { "nil" } else { go::type_of(actual) };
    unmergeable(format!("expected a {expected}, but received a {received}"))
}

/// What stays of a patch where there is nothing to merge it with: no null members, and no object that carries a `$patch`,
/// whatever it says. Other directives stay, as unknown fields.
fn settled(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Object(members) if members.contains_key(DIRECTIVE) => return None,
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.filter_map(|(k, v)| Some((k.clone(), settled(v)?))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().filter_map(settled).collect()),
        other => other.clone(),
    })
}

/// An item that comes anew: upstream takes it as it is, and reads its nulls as absent afterwards.
fn new_item(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(k, v)| (k.clone(), new_item(v))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(new_item).collect()),
        other => other.clone(),
    }
}

struct Merge<'t> {
    table: &'t Table,
}

impl<'t> Merge<'t> {
    fn shape(kind: &'t FieldKind) -> Shape<'t> {
        match kind {
            FieldKind::Struct(id) => Shape::Struct(*id),
            FieldKind::Map(inner) => Shape::Map(inner),
            FieldKind::RawExtension => Shape::Hidden("RawExtension"),
            FieldKind::FieldsV1 => Shape::Hidden("FieldsV1"),
            FieldKind::Json => Shape::Hidden("JSON"),
            FieldKind::SchemaOrArray(_) => Shape::Hidden("JSONSchemaPropsOrArray"),
            FieldKind::SchemaOrBool(_) => Shape::Hidden("JSONSchemaPropsOrBool"),
            FieldKind::SchemaOrStrings(_) => Shape::Hidden("JSONSchemaPropsOrStringArray"),
            _ => Shape::Open,
        }
    }

    fn element(kind: &'t FieldKind) -> Shape<'t> {
        match kind {
            FieldKind::List(inner) => Self::shape(inner),
            kind => Self::shape(kind),
        }
    }

    fn rule(&self, shape: Shape<'t>, key: &str) -> Result<Rule<'t>, PatchError> {
        let plain = |element| Rule { element, merge: false, replace: false, key: "" };
        let unknown = |name: &str| {
            unmergeable(format!("unable to find api field in struct {name} for the json field {key:?}"))
        };
        match shape {
            Shape::Open => Ok(plain(Shape::Open)),
            Shape::Map(inner) => Ok(plain(Self::element(inner))),
            Shape::Hidden(name) => Err(unknown(name)),
            Shape::Struct(id) => {
                let ty = self.table.ty(id);
                let field = ty.field(key).ok_or_else(|| unknown(ty.short_name()))?;
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
        original: &mut Map<String, Value>,
        patch: &Map<String, Value>,
        shape: Shape<'t>,
    ) -> Result<(), PatchError> {
        if let Some(directive) = patch.get(DIRECTIVE) {
            match directive.as_str() {
                Some("replace") => {
                    let rest = patch.iter().filter(|(key, _)| *key != DIRECTIVE);
                    *original = rest.map(|(k, v)| (k.clone(), v.clone())).collect();
                }
                Some("delete") => original.clear(),
                _ => return Err(unknown_directive(directive, &Value::Object(patch.clone()))),
            }
            return Ok(());
        }
        retain_keys(original, patch)?;
        let done = self.ordered_lists(original, patch, shape)?;
        for (key, change) in patch {
            if key == RETAIN_KEYS || key.starts_with(ORDER_PREFIX) || done.contains(&key.as_str()) {
                continue;
            }
            match list_name(key, DELETE_PREFIX) {
                None => self.member(original, key, change, shape)?,
                Some(None) => return Err(bad_request("invalid patch format of primitive list")),
                Some(Some(list)) => self.delete_from(original, list, change, shape)?,
            }
        }
        Ok(())
    }

    fn member(
        &self,
        original: &mut Map<String, Value>,
        key: &str,
        change: &Value,
        shape: Shape<'t>,
    ) -> Result<(), PatchError> {
        match (original.get_mut(key), change) {
            (_, Value::Null) => {
                original.remove(key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => {
                let rule = self.rule(shape, key)?;
                if rule.replace {
                    old.clone_from(new);
                } else {
                    self.map(old, new, rule.element)?;
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let rule = self.rule(shape, key)?;
                if rule.merge {
                    self.list(old, new, &rule)?;
                } else {
                    old.clone_from(new);
                }
            }
            (there, new) => match (there, settled(new)) {
                (Some(there), Some(new)) => *there = new,
                (None, Some(new)) => {
                    original.insert(key.to_string(), new);
                }
                (_, None) => {
                    original.remove(key);
                }
            },
        }
        Ok(())
    }

    /// `$deleteFromPrimitiveList/LIST`
    fn delete_from(
        &self,
        original: &mut Map<String, Value>,
        list: &str,
        gone: &Value,
        shape: Shape<'t>,
    ) -> Result<(), PatchError> {
        match (original.get_mut(list), gone) {
            (_, Value::Null) => {
                original.remove(list);
            }
            (Some(Value::Array(items)), Value::Array(gone)) => {
                let rule = self.rule(shape, list)?;
                match element_kind(items, gone)? {
                    None => {}
                    Some(true) => self.list(items, gone, &rule)?,
                    Some(false) => {
                        let gone = Index::of(gone, "");
                        items.retain(|item| gone.find(item).is_none());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn list(&self, original: &mut Vec<Value>, patch: &[Value], rule: &Rule<'t>) -> Result<(), PatchError> {
        let Some(of_maps) = element_kind(original, patch)? else { return Ok(()) };
        if !of_maps {
            let server = Index::of(original, "");
            let mut seen = Index::default();
            let mut merged = Vec::with_capacity(original.len() + patch.len());
            for item in original.drain(..).chain(patch.iter().cloned()) {
                if seen.find(&item).is_none() {
                    seen.push(item.clone());
                    merged.push(item);
                }
            }
            *original = normalize(merged, &Index::of(patch, ""), &server, "");
            return Ok(());
        }
        if rule.key.is_empty() {
            return Err(unmergeable("cannot merge lists without merge key for struct"));
        }
        let (patch, replace) = special_items(original, patch, rule.key)?;
        if replace {
            *original = patch.into_iter().map(new_item).collect();
            return every_item_has(original, rule.key);
        }
        self.items(original, &patch, rule)
    }

    /// Merges items by their key; those that are new come last, and then all are put in order.
    fn items(&self, original: &mut Vec<Value>, patch: &[&Value], rule: &Rule<'t>) -> Result<(), PatchError> {
        let server = Index::of(original, rule.key);
        let mut merged = Index::of(original, rule.key);
        let mut wanted = Index::default();
        for item in patch {
            let Some(key) = item.get(rule.key) else { return Err(no_merge_key(item, rule.key)) };
            wanted.push(key.clone());
            match (merged.find(key), item) {
                (Some(at), Value::Object(new)) => {
                    if let Value::Object(old) = &mut original[at] {
                        self.map(old, new, rule.element)?;
                    }
                }
                (_, item) => {
                    merged.push(key.clone());
                    original.push(new_item(item));
                }
            }
        }
        every_item_has(original, rule.key)?;
        *original = normalize(std::mem::take(original), &wanted, &server, rule.key);
        Ok(())
    }

    /// `$setElementOrder/LIST`: merges the list and puts it in that order. Gives the lists that are done.
    fn ordered_lists<'p>(
        &self,
        original: &mut Map<String, Value>,
        patch: &'p Map<String, Value>,
        shape: Shape<'t>,
    ) -> Result<Vec<&'p str>, PatchError> {
        let mut done = Vec::new();
        for (directive, order) in patch.iter().filter(|(key, _)| key.starts_with(ORDER_PREFIX)) {
            let Value::Array(order) = order else { return Err(bad_argument("[]interface {}", order)) };
            let Some(Some(name)) = list_name(directive, ORDER_PREFIX) else {
                return Err(bad_request("invalid patch format of setElementOrder list"));
            };
            if self.ordered_list(original, patch, shape, name, order)? {
                done.push(name);
            }
        }
        Ok(done)
    }

    fn ordered_list(
        &self,
        original: &mut Map<String, Value>,
        patch: &Map<String, Value>,
        shape: Shape<'t>,
        name: &str,
        order: &[Value],
    ) -> Result<bool, PatchError> {
        let list = |value: Option<&Value>| match value {
            Some(other) if !other.is_array() => Err(bad_argument("[]interface {}", other)),
            _ => Ok(()),
        };
        list(original.get(name))?;
        list(patch.get(name))?;
        let rule = self.rule(shape, name)?;
        let new = patch.get(name).and_then(Value::as_array);
        check_order(new.map_or(&[][..], Vec::as_slice), order, rule.key)?;
        let old = original.get_mut(name).and_then(Value::as_array_mut);
        let server = Index::of(old.as_deref().map_or(&[][..], Vec::as_slice), rule.key);
        let merged = match (old, new) {
            (None, None) => return Ok(false),
            (Some(old), None) => std::mem::take(old),
            (None, Some(new)) => new.iter().filter_map(settled).collect(),
            (Some(old), Some(new)) if rule.merge => {
                self.list(old, new, &rule)?;
                std::mem::take(old)
            }
            (Some(_), Some(new)) => new.clone(),
        };
        if !rule.key.is_empty() {
            every_item_has(&merged, rule.key)?;
        }
        let ordered = normalize(merged, &Index::of(order, rule.key), &server, rule.key);
        original.insert(name.to_string(), Value::Array(ordered));
        Ok(true)
    }
}

fn every_item_has(items: &[Value], key: &str) -> Result<(), PatchError> {
    match items.iter().find(|item| item.get(key).is_none()) {
        Some(item) if item.is_object() => Err(no_merge_key(item, key)),
        Some(other) => Err(bad_argument("map[string]interface {}", other)),
        None => Ok(()),
    }
}

/// `PREFIX/LIST`: the inner is the list's name; `Some(None)` where it is missing.
fn list_name<'k>(key: &'k str, prefix: &str) -> Option<Option<&'k str>> {
    key.strip_prefix(prefix).map(|rest| rest.strip_prefix('/'))
}

/// `$retainKeys`: what it does not name goes.
fn retain_keys(original: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let told = "invalid patch format of retainKeys";
    let Value::Array(keys) = keys else { return Err(bad_request(told)) };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    for (key, change) in patch.iter().filter(|(key, _)| *key != RETAIN_KEYS) {
        let parallel = key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX);
        if !change.is_null() && !parallel && !keys.contains(key.as_str()) {
            return Err(bad_request(told));
        }
    }
    original.retain(|key, _| keys.contains(key.as_str()));
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
        let list = |items: &[Value]| go::plain(&Value::Array(items.to_vec()));
        let told = format!("list element types are not identical: [{} {}]", list(original), list(patch));
        return Err(unmergeable(told));
    }
    Ok(Some(first.is_object()))
}

/// Carries out the items with `$patch`; gives the others, and whether they replace the list.
fn special_items<'p>(
    original: &mut Vec<Value>,
    patch: &'p [Value],
    key: &str,
) -> Result<(Vec<&'p Value>, bool), PatchError> {
    let (mut plain, mut replace) = (Vec::with_capacity(patch.len()), false);
    let mut gone = Index::default();
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => gone.push(item.get(key).ok_or_else(|| no_merge_key(item, key))?.clone()),
            Some("replace") => replace = true,
            Some("merge") => return Err(unmergeable("merging lists cannot yet be specified in the patch")),
            _ => return Err(unknown_directive(directive, item)),
        }
    }
    original.retain(|old| old.get(key).is_none_or(|old| gone.find(old).is_none()));
    Ok((plain, replace))
}

/// The items of the patch must stand in the order that `$setElementOrder` gives, deletions apart.
fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if order.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let keyed = |item: &'_ Value| -> Result<Value, PatchError> {
        if !key.is_empty() && !item.is_object() {
            return Err(bad_argument("map[string]interface {}", item));
        }
        key_of(item, key).cloned().ok_or_else(|| no_merge_key(item, key))
    };
    let mut rest = order.iter();
    for item in patch {
        if item.get(DIRECTIVE).is_some() {
            continue;
        }
        let wanted = keyed(item)?;
        loop {
            let Some(entry) = rest.next() else {
                let (patch, order) =
                    (go::plain(&Value::Array(patch.to_vec())), go::plain(&Value::Array(order.to_vec())));
                return Err(unmergeable(format!(
                    "The order in patch list:\n{patch}\n doesn't match {ORDER_PREFIX} list:\n{order}\n"
                )));
            };
            if keyed(entry)? == wanted {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "strategic_tests.rs"]
mod tests;
