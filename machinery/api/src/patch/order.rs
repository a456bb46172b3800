//! The order of a merged list: what the patch names stands in the patch's order, what only the server has keeps its
//! place relative to it as far as it can.

use std::collections::HashMap;

use serde_json::Value;

/// Shorter lists are searched one by one.
const SMALL: usize = 16;

/// Where each item of a list stands: by its merge key, or by itself if there is none. Of equal items the first counts.
#[derive(Default)]
pub(super) struct Index {
    keys: Vec<Value>,
    by_key: HashMap<Value, usize>,
}

impl Index {
    /// Items without the key have no place.
    pub(super) fn of(list: &[Value], merge_key: &str) -> Self {
        let mut index = Self::default();
        list.iter().for_each(|item| index.push(key_of(item, merge_key).cloned().unwrap_or(Value::Null)));
        index
    }

    pub(super) fn push(&mut self, key: Value) {
        self.keys.push(key);
        let at = self.keys.len() - 1;
        if self.keys.len() == SMALL + 1 {
            for (at, key) in self.keys.iter().enumerate() {
                self.by_key.entry(key.clone()).or_insert(at);
            }
        } else if self.keys.len() > SMALL {
            self.by_key.entry(self.keys[at].clone()).or_insert(at);
        }
    }

    pub(super) fn find(&self, key: &Value) -> Option<usize> {
        if self.keys.len() > SMALL {
            self.by_key.get(key).copied()
        } else {
            self.keys.iter().position(|other| other == key)
        }
    }

    fn find_item(&self, item: &Value, merge_key: &str) -> Option<usize> {
        self.find(key_of(item, merge_key)?)
    }
}

/// What an item is told apart by.
pub(super) fn key_of<'v>(item: &'v Value, merge_key: &str) -> Option<&'v Value> {
    if merge_key.is_empty() { Some(item) } else { item.get(merge_key) }
}

/// Orders `merged` by the patch's order, then by the order that the server has now.
pub(super) fn normalize(merged: Vec<Value>, patch: &Index, server: &Index, merge_key: &str) -> Vec<Value> {
    let (mut patched, mut server_only) = (Vec::new(), Vec::new());
    for item in merged {
        let on_server = server.find_item(&item, merge_key);
        match patch.find_item(&item, merge_key) {
            Some(rank) => patched.push((rank, on_server, item)),
            None => server_only.push((on_server.unwrap_or(usize::MAX), on_server, item)),
        }
    }
    patched.sort_by_key(|(rank, ..)| *rank);
    server_only.sort_by_key(|(rank, ..)| *rank);

    let mut ordered = Vec::with_capacity(patched.len() + server_only.len());
    let (mut left, mut right) = (server_only.into_iter().peekable(), patched.into_iter().peekable());
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return ordered,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((_, l, _)), Some((_, r, _))) => matches!((l, r), (Some(l), Some(r)) if l < r),
        };
        let next = if take_left { left.next() } else { right.next() };
        ordered.extend(next.map(|(.., item)| item));
    }
}
