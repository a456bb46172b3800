//! Which resource a key of the store belongs to, and which rule of a configuration is for it.

use std::collections::HashMap;

use oarlock_api::GroupResource;

/// Everything of the API is below this.
const ROOT: &[u8] = b"/registry/";

/// A configured resource: `secrets`, `deployments.apps`, `*.`, `*.apps`, `*.*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) group: String,
    pub(crate) resource: String,
}

impl Rule {
    pub(crate) fn parse(text: &str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Self { group: group.into(), resource: resource.into() }
    }

    pub(crate) fn everything() -> Self {
        Self { group: "*".into(), resource: "*".into() }
    }

    pub(crate) fn whole_group(group: &str) -> Self {
        Self { group: group.into(), resource: "*".into() }
    }

    /// Whether all that `other` means is meant by this, too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        *self == Self::everything()
            || (self.group == other.group && (self.resource == "*" || self.resource == other.resource))
    }

    /// As upstream's messages name it.
    pub(crate) fn text(&self) -> String {
        match (self.group.as_str(), self.resource.as_str()) {
            ("", "*") => "*.".into(),
            ("", resource) => resource.into(),
            (group, resource) => format!("{resource}.{group}"),
        }
    }
}

/// Which resource is kept where. Built-in resources are told; a custom resource is at `/registry/<group>/<resource>/`,
/// and a group has a dot in its name.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// By the segments between `/registry/` and the namespace or name: `secrets`, `services/specs`.
    places: HashMap<Box<[u8]>, GroupResource>,
}

impl Layout {
    /// Pairs of a stored resource and its prefix, `/registry/secrets/`.
    pub fn new<P: AsRef<str>>(prefixes: impl IntoIterator<Item = (GroupResource, P)>) -> Self {
        let place = |prefix: &str| {
            let place = prefix.as_bytes().strip_prefix(ROOT).unwrap_or(prefix.as_bytes());
            place.strip_suffix(b"/").unwrap_or(place).into()
        };
        Self { places: prefixes.into_iter().map(|(resource, p)| (place(p.as_ref()), resource)).collect() }
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = (&[u8], &GroupResource)> {
        self.places.iter().map(|(place, resource)| (&**place, resource))
    }
}

/// The first segment below the root, and the first two.
pub(crate) fn segments(key: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let rest = key.strip_prefix(ROOT)?;
    let first = rest.iter().position(|byte| *byte == b'/')?;
    let second = rest[first + 1..].iter().position(|byte| *byte == b'/').map(|n| &rest[..first + 1 + n]);
    Some((&rest[..first], second))
}
