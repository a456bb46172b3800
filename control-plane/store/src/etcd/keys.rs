//! Our keys and etcd's: the prefix that stands in for `/registry`, ranges, and the key that makes progress.

use bytes::{Bytes, BytesMut};

/// What our keys begin with, and etcd's by default.
const REGISTRY: &[u8] = b"/registry";

/// The last part of the key that is written under a watched prefix where the server's progress cannot be trusted. It begins with a
/// control character: no object's name does, and it comes before all of them.
const PROGRESS: &[u8] = b"\x01oarlock-progress";

/// Puts another prefix in place of `/registry` (`--etcd-prefix`). Keys beside it stay as they are.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: Option<Bytes>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = format!("/{}", prefix.trim_matches('/'));
        Self { prefix: (prefix.as_bytes() != REGISTRY).then(|| prefix.into()) }
    }

    pub(super) fn outward(&self, key: &[u8]) -> Bytes {
        let Some(prefix) = &self.prefix else { return Bytes::copy_from_slice(key) };
        exchange(key, REGISTRY, prefix)
    }

    /// As [`outward`](Self::outward), of a key that we own.
    pub(super) fn outward_owned(&self, key: Bytes) -> Bytes {
        if self.prefix.is_none() { key } else { self.outward(&key) }
    }

    pub(super) fn inward(&self, key: Bytes) -> Bytes {
        match &self.prefix {
            None => key,
            Some(prefix) => exchange(&key, prefix, REGISTRY),
        }
    }
}

fn exchange(key: &[u8], from: &[u8], to: &[u8]) -> Bytes {
    match key.strip_prefix(from) {
        Some(rest) => {
            let mut changed = BytesMut::with_capacity(to.len() + rest.len());
            changed.extend_from_slice(to);
            changed.extend_from_slice(rest);
            changed.freeze()
        }
        None => Bytes::copy_from_slice(key),
    }
}

/// The end of the range of all keys that start with `prefix`; `\0`, etcd's word for no end, where there is none.
pub(super) fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

/// The first key after `key`.
pub(super) fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.extend_from_slice(b"\0");
    next.freeze()
}

/// A range of nothing has to begin somewhere: etcd takes no empty key.
pub(super) fn start_of(prefix: Bytes) -> Bytes {
    if prefix.is_empty() { Bytes::from_static(b"\0") } else { prefix }
}

pub(super) fn progress_key(prefix: &[u8]) -> Bytes {
    let mut key = BytesMut::with_capacity(prefix.len() + PROGRESS.len());
    key.extend_from_slice(prefix);
    key.extend_from_slice(PROGRESS);
    key.freeze()
}

pub(super) fn is_progress(key: &[u8]) -> bool {
    key.ends_with(PROGRESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_prefix_stands_in_for_registry() {
        let check = |prefix: &str, key: &str, etcd: &str| {
            let keys = Keys::new(prefix);
            assert_eq!(keys.outward(key.as_bytes()), etcd.as_bytes());
            assert_eq!(keys.inward(Bytes::copy_from_slice(etcd.as_bytes())), key.as_bytes());
        };
        check("/registry", "/registry/pods/a", "/registry/pods/a");
        check("registry/", "/registry/pods/a", "/registry/pods/a");
        check("/other", "/registry/pods/a", "/other/pods/a");
        check("/other", "compact_rev_key", "compact_rev_key");
    }

    #[test]
    fn prefixes_end() {
        for (prefix, end) in
            [(&b"/a/"[..], &b"/a0"[..]), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0")]
        {
            assert_eq!(end_of(prefix), end, "{prefix:?}");
        }
    }
}
