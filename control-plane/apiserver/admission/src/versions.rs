//! The objects of one request in the versions that those who look at it want, each converted once.

use std::borrow::Cow;

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

    /// As [`prepare`](Self::prepare), as expressions see it.
    pub(crate) async fn prepare_seen(
        &mut self,
        world: &World,
        from: &GroupVersionKind,
        to: &GroupVersionKind,
        objects: Versioned<'_>,
    ) -> Result<(), Status> {
        if self.0.iter().any(|(kind, ..)| kind == to) {
            return Ok(());
        }
        let mut pair = [None, None];
        for (slot, object) in pair.iter_mut().zip([objects.object, objects.old]) {
            *slot = match object {
                None => None,
                Some(object) if from == to => Some(world.seen(to, object).into_owned()),
                Some(object) => {
                    let converted = convert(world, from, to, Some(object)).await?;
                    converted.map(|converted| world.seen(to, &converted).into_owned())
                }
            };
        }
        let [object, old] = pair;
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

/// Both objects as expressions see them.
pub(crate) struct Seen<'a> {
    object: Option<Cow<'a, Value>>,
    old: Option<Cow<'a, Value>>,
}

impl<'a> Seen<'a> {
    pub(crate) fn of(world: &World, kind: &GroupVersionKind, objects: Versioned<'a>) -> Self {
        Self {
            object: objects.object.map(|object| world.seen(kind, object)),
            old: objects.old.map(|old| world.seen(kind, old)),
        }
    }

    pub(crate) fn objects(&self) -> Versioned<'_> {
        Versioned { object: self.object.as_deref(), old: self.old.as_deref() }
    }
}
