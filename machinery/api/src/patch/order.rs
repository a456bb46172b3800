//! The order of a merged list: what the patch names stands in the patch's order, what only the server has keeps its
//! place relative to it as far as it can.

use serde_json::Value;

/// Items are the same when their merge key is; scalars when they are equal.
pub(super) fn same(a: &Value, b: &Value, merge_key: &str) -> bool {
    if merge_key.is_empty() {
        return a == b;
    }
    matches!((a.get(merge_key), b.get(merge_key)), (Some(a), Some(b)) if a == b)
}

pub(super) fn position(list: &[Value], item: &Value, merge_key: &str) -> Option<usize> {
    list.iter().position(|other| same(other, item, merge_key))
}

/// Orders `merged` by the patch's order, then by the order that the server has now.
pub(super) fn normalize(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    merge_key: &str,
) -> Vec<Value> {
    let (mut patched, mut server_only) = (Vec::new(), Vec::new());
    for item in merged {
        let in_patch = position(patch_order, &item, merge_key);
        let on_server = position(server_order, &item, merge_key);
        match in_patch {
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
