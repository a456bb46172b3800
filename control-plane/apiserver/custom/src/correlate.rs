//! Which part of an old object a part of the new one replaces. What did not change is not refused. (KEP-4008)

use oarlock_api::structural::Structural;
use oarlock_api::table::ListType;
use serde_json::Value;

/// A value, and the old one in its place.
#[derive(Clone, Copy)]
pub(crate) struct Correlated<'a> {
    pub(crate) schema: &'a Structural,
    pub(crate) new: &'a Value,
    pub(crate) old: &'a Value,
}

impl<'a> Correlated<'a> {
    /// A field that both have and the schema knows.
    pub(crate) fn key(&self, name: &str) -> Option<Self> {
        let schema = self.schema.field(name)?;
        Some(Self { schema, new: self.new.as_object()?.get(name)?, old: self.old.as_object()?.get(name)? })
    }

    /// An item of a list of type map; items of other lists have no old value.
    pub(crate) fn index(&self, index: usize) -> Option<Self> {
        let new = self.new.as_array()?.get(index)?;
        let old = same_item(self.schema, new, self.old)?;
        Some(Self { schema: self.schema.items.as_deref()?, new, old })
    }

    pub(crate) fn is_unchanged(&self) -> bool {
        self.new == self.old
    }
}

/// The item of an old list with the keys of a new item, where the list is one of type map.
pub(crate) fn same_item<'a>(schema: &Structural, new: &Value, old: &'a Value) -> Option<&'a Value> {
    if schema.list_type != Some(ListType::Map) {
        return None;
    }
    let same = |item: &&Value| {
        item.is_object() && schema.list_map_keys.iter().all(|key| item.get(key) == new.get(key))
    };
    old.as_array()?.iter().find(same)
}
