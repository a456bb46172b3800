//! An immutable picture of one resource: maps of maps, shared until somebody writes while somebody else still reads.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::Entry;

type Shard = BTreeMap<Box<str>, Arc<Entry>>;

/// A namespace, in the order of store keys: there a `/` follows it, which sorts after `-` and `.`. Pages of a list may
/// come from here and from the store in turn, so both must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ShardKey(Arc<str>);

impl Ord for ShardKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let ended = |key: &Self| {
            key.0.as_bytes().iter().copied().chain([b'/']).collect::<smallvec::SmallVec<[u8; 64]>>()
        };
        if self.0 == other.0 { Ordering::Equal } else { ended(self).cmp(&ended(other)) }
    }
}

impl PartialOrd for ShardKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Objects by namespace and name. Cloning is one reference; writing after a clone copies the touched namespace only.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    shards: Arc<BTreeMap<ShardKey, Arc<Shard>>>,
    count: usize,
    /// Of all objects as JSON.
    bytes: usize,
}

impl Snapshot {
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        self.shards.get(&ShardKey(namespace.into()))?.get(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many are in a namespace; all, where it is empty.
    pub(crate) fn len_in(&self, namespace: &str) -> usize {
        match namespace {
            "" => self.count,
            _ => self.shards.get(&ShardKey(namespace.into())).map_or(0, |shard| shard.len()),
        }
    }

    /// The size of an object as JSON, on average; 0 of none.
    pub(crate) fn average_bytes(&self) -> usize {
        self.bytes.checked_div(self.count).unwrap_or(0)
    }

    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let shards = Arc::make_mut(&mut self.shards);
        let shard = shards.entry(ShardKey(entry.namespace.clone())).or_default();
        self.bytes += entry.json.len();
        let before = Arc::make_mut(shard).insert(entry.name.clone(), entry);
        self.count += usize::from(before.is_none());
        self.bytes -= before.as_ref().map_or(0, |before| before.json.len());
        before
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let shards = Arc::make_mut(&mut self.shards);
        let key = ShardKey(namespace.into());
        let shard = shards.get_mut(&key)?;
        let before = Arc::make_mut(shard).remove(name)?;
        if shard.is_empty() {
            shards.remove(&key);
        }
        self.count -= 1;
        self.bytes -= before.json.len();
        Some(before)
    }

    /// The objects of a namespace (all, where it is empty) in order of key, strictly after `(namespace, name)`.
    pub(crate) fn iter<'a>(
        &'a self,
        namespace: &'a str,
        after: Option<(&'a str, &'a str)>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        let (first, from) = after.unwrap_or((namespace, ""));
        let shards =
            if first.is_empty() { Bound::Unbounded } else { Bound::Included(ShardKey(first.into())) };
        self.shards
            .range((shards, Bound::Unbounded))
            .take_while(move |(ns, _)| namespace.is_empty() || *ns.0 == *namespace)
            .flat_map(move |(ns, shard)| {
                let start: Bound<&str> =
                    if after.is_some() && *ns.0 == *first { Bound::Excluded(from) } else { Bound::Unbounded };
                shard.range::<str, _>((start, Bound::Unbounded)).map(|(_, entry)| entry)
            })
    }
}
