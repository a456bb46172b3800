//! Between the version of a resource that is served and the one that is stored, both ways.

use oarlock_api::{Resource, conversion};
use serde_json::Value;

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
}
