//! Between the version of a resource that is served and the one that is stored, both ways: the edge of the store for
//! built-in kinds. What stands before it (endpoints, admission) sees the request's version, what stands behind it
//! (strategies, store, cache) the stored one. Kinds of one version pay nothing.

use oarlock_api::{Resource, conversion};
use serde_json::Value;

use super::{Found, Served};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conversion {
    inward: conversion::Conversion,
    outward: conversion::Conversion,
}

impl Conversion {
    /// `None` where they are the same version.
    pub(crate) fn between(served: &Resource, stored: &Resource) -> Option<Self> {
        Some(Self {
            inward: conversion::Conversion::between_resources(served, stored)?,
            outward: conversion::Conversion::between_resources(stored, served)?,
        })
    }

    /// From the served version to the stored one.
    pub(crate) fn to_stored(self, object: &mut Value) {
        self.inward.apply(object);
    }

    /// From the stored version to the served one.
    pub(crate) fn to_served(self, object: &mut Value) {
        self.outward.apply(object);
    }

    /// What a field that the served version selects by is called in the stored one.
    pub(crate) fn stored_field(self, name: &str) -> &str {
        self.inward.field(name)
    }
}

impl Served {
    /// An object of the stored version in this one; `None` where they are the same.
    pub(super) fn shown(&self, stored: &Value) -> Option<Value> {
        self.conversion.map(|_| self.outward(stored.clone()))
    }

    pub(super) fn outward(&self, mut object: Value) -> Value {
        if let Some(conversion) = self.conversion {
            conversion.to_served(&mut object);
        }
        object
    }

    pub(super) fn inward(&self, mut object: Value) -> Value {
        if let Some(conversion) = self.conversion {
            conversion.to_stored(&mut object);
        }
        object
    }

    /// A converted object has the defaults of its own version only; who reads the store expects those of the stored one.
    pub(super) fn complete(&self, object: &mut Value) {
        if let (Some(_), Some(stored)) = (self.conversion, &self.stored)
            && let oarlock_api::Schema::Typed(ty) = stored.storage.schema
        {
            oarlock_api::defaults::apply_defaults_as(ty, object);
        }
    }
}

/// What the store has, and how a request sees it.
pub(super) struct Current {
    pub(super) found: Found,
    shown: Option<Value>,
}

impl Current {
    pub(super) fn of(served: &Served, found: Found) -> Self {
        Self { shown: served.shown(&found.object), found }
    }

    /// In the version of the request.
    pub(super) fn shown(&self) -> &Value {
        self.shown.as_ref().unwrap_or(&self.found.object)
    }

    pub(super) fn into_shown(self) -> Value {
        self.shown.unwrap_or(self.found.object)
    }
}
