//! The expressions of a schema: looked at as soon as oarlock-cel compiles.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldErrors, Path};

use super::schema::Context;

pub(super) struct Scope<'s>(&'s Structural);

#[derive(Default)]
pub(super) struct Budget;

impl Budget {
    pub(super) fn tell(&self, _: &Path, _: &mut FieldErrors) {}
}

impl<'s> Scope<'s> {
    pub(super) fn root(schema: &'s Structural) -> Self {
        Self(schema)
    }

    pub(super) fn property(&self, name: &str) -> Option<Self> {
        self.0.properties.get(name).map(Self)
    }

    pub(super) fn items(&self) -> Option<Self> {
        self.0.items.as_deref().map(Self)
    }

    pub(super) fn values(&self) -> Option<Self> {
        self.0.additional_schema().map(Self)
    }

    pub(super) fn check(&self, _: &Path, _: &Context, _: bool, _: &mut Budget, _: &mut FieldErrors) {}
}
