//! The name of an object within its resource.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::Equivalent;
use kube::Resource;

/// Namespace (empty for cluster-scoped objects) and name. Cheap to clone; prints as upstream's cache key does:
/// `namespace/name`, or `name` alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ObjectKey {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object, from its metadata.
    pub fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }
}

// By hand, so that the borrowed form below is sure to hash the same.
impl Hash for ObjectKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        BorrowedKey(&self.namespace, &self.name).hash(state);
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Looks an [`ObjectKey`] up without making one.
#[derive(Hash)]
pub(crate) struct BorrowedKey<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl Equivalent<ObjectKey> for BorrowedKey<'_> {
    fn equivalent(&self, key: &ObjectKey) -> bool {
        *self.0 == *key.namespace && *self.1 == *key.name
    }
}
