//! The objects of one request in the versions that those who look at it want, each converted once.

use oarlock_api::{GroupVersionKind, Status};
use serde_json::Value;

use crate::World;

/// New and old object in one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Versioned<'a> {
    pub(crate) object: Option<&'a Value>,
    pub(crate) old: Option<&'a Value>,
}

/// The versions other than the request's.
#[derive(Debug, Default)]
pub(crate) struct Versions(Vec<(GroupVersionKind, Option<Value>, Option<Value>)>);

impl Versions {
    /// Makes sure that a version is there.
    pub(crate) async fn prepare(
        &mut self,
        world: &World,
        from: &GroupVersionKind,
        to: &GroupVersionKind,
        objects: Versioned<'_>,
    ) -> Result<(), Status> {
        if from == to || self.0.iter().any(|(kind, ..)| kind == to) {
            return Ok(());
        }
        let object = convert(world, from, to, objects.object).await?;
        let old = convert(world, from, to, objects.old).await?;
        self.0.push((to.clone(), object, old));
        Ok(())
    }

    /// A version that was prepared, or else the request's own.
    pub(crate) fn get<'a>(&'a self, kind: &GroupVersionKind, own: Versioned<'a>) -> Versioned<'a> {
        match self.0.iter().find(|(there, ..)| there == kind) {
            Some((_, object, old)) => Versioned { object: object.as_ref(), old: old.as_ref() },
            None => own,
        }
    }
}

async fn convert(
    world: &World,
    from: &GroupVersionKind,
    to: &GroupVersionKind,
    object: Option<&Value>,
) -> Result<Option<Value>, Status> {
    match object {
        None => Ok(None),
        Some(object) => {
            world.convert(object, from, to).await.map(Some).map_err(|e| Status::internal(e.message))
        }
    }
}
