//! What a resource is: its names, scope, verbs, subresources and how kubectl prints it.

use serde::Deserialize;

use crate::gvk::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource};

/// A resource of the API, as discovery lists it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub verbs: Vec<&'static str>,
    #[serde(default)]
    pub short_names: Vec<&'static str>,
    #[serde(default)]
    pub categories: Vec<&'static str>,
    #[serde(default)]
    pub subresources: Vec<Subresource>,
    pub served_by_default: bool,
    /// The columns of `kubectl get`; empty means Name and Age.
    #[serde(default)]
    pub table_columns: Vec<Column>,
    /// Fields that selectors may name, `metadata.name` and `metadata.namespace` included where upstream lists them.
    #[serde(default)]
    pub field_selectors: Vec<&'static str>,
}

/// A part of an object with an address of its own.
#[derive(Debug, Clone, Deserialize)]
pub struct Subresource {
    pub name: &'static str,
    pub kind: SubresourceKind,
    pub verbs: Vec<&'static str>,
}

/// What a subresource's body is; always complete, also where it is the parent's own kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct SubresourceKind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
}

/// A column of `kubectl get`; priority above 0 is printed with `-o wide` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Column {
    pub name: &'static str,
    #[serde(rename = "type")]
    pub data_type: &'static str,
    pub format: &'static str,
    pub priority: i32,
}

impl Resource {
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.group, self.version, self.kind)
    }

    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::new(self.group, self.version, self.plural)
    }

    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group, self.plural)
    }

    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.group, self.kind)
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        crate::gvk::join_api_version(self.group, self.version)
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}

impl SubresourceKind {
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.group, self.version, self.kind)
    }
}
