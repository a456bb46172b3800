//! What the server itself writes is recorded in `managedFields` as that of the part of it that writes, under the name that
//! upstream's part has. (KEP-555)

use jiff::Timestamp;
use oarlock_api::apply::{OneVersion, Request, Reset, apply, track};
use oarlock_api::{GroupVersionKind, Schema, Status};
use serde_json::{Value, json};

use super::{Registry, Storage};

/// A part of the server that writes.
#[derive(Clone, Copy)]
pub(crate) struct Hand {
    manager: &'static str,
    subresource: &'static str,
}

impl Hand {
    /// The server as such.
    pub(crate) const SERVER: Self = Self::named("kube-apiserver");
    /// The server, where it writes statuses.
    pub(crate) const STATUS: Self = Self::status_of("kube-apiserver");

    pub(crate) const fn named(manager: &'static str) -> Self {
        Self { manager, subresource: "" }
    }

    pub(crate) const fn status_of(manager: &'static str) -> Self {
        Self { manager, subresource: "status" }
    }

    /// Records what `new` changes of `live` as this hand's.
    pub(crate) fn record(
        self,
        (schema, gvk): (&Schema, &GroupVersionKind),
        has_status: bool,
        live: Option<&Value>,
        new: &mut Value,
    ) {
        let reset = match (self.subresource, has_status) {
            ("status", _) => Reset::fields(&[&["spec"], &["metadata"]]),
            (_, true) => Reset::fields(&[&["status"]]),
            (_, false) => Reset::Nothing,
        };
        self.ask(schema, gvk, &reset, |request| track(request, live, new));
    }

    /// Applies a status to an object.
    pub(crate) fn apply_in(
        self,
        storage: &Storage,
        object: &mut Value,
        status: &Value,
    ) -> Result<(), Status> {
        let (schema, gvk) = (&storage.schema, &storage.gvk);
        let config = json!({
            "apiVersion": gvk.api_version(), "kind": &*gvk.kind, "metadata": {"name": object["metadata"]["name"]},
            "status": status,
        });
        let reset = Reset::fields(&[&["spec"], &["metadata"]]);
        let applied = self.ask(schema, gvk, &reset, |request| apply(request, Some(object), &config, true));
        *object = applied.map_err(Status::internal)?.object;
        Ok(())
    }

    fn ask<T>(
        self,
        schema: &Schema,
        gvk: &GroupVersionKind,
        reset: &Reset,
        ask: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        ask(&Request {
            schema,
            api_version: &gvk.api_version(),
            kind: &gvk.kind,
            manager: self.manager,
            subresource: self.subresource,
            reset,
            versions: &OneVersion,
            now: Timestamp::now(),
        })
    }
}

impl Registry {
    /// As [`amend`](Self::amend), with what is changed recorded as the hand's.
    pub(crate) async fn amend_as<T>(
        &self,
        storage: &Storage,
        place: (&str, &str),
        hand: Hand,
        change: T,
    ) -> Result<Option<Value>, Status>
    where
        T: Fn(&mut Value) -> Result<(), Status> + Send + Sync,
    {
        let recorded = |object: &mut Value| {
            let live = object.clone();
            change(object)?;
            if *object != live {
                hand.record((&storage.schema, &storage.gvk), true, Some(&live), object);
            }
            Ok(())
        };
        self.amend(storage, place, recorded).await
    }

    /// Has the hand apply a status, of the newest object.
    pub(crate) async fn apply_status<T>(
        &self,
        storage: &Storage,
        place: (&str, &str),
        hand: Hand,
        status: T,
    ) -> Result<Option<Value>, Status>
    where
        T: Fn(&Value) -> Value + Send + Sync,
    {
        let change = |object: &mut Value| hand.apply_in(storage, object, &status(object));
        self.amend(storage, place, change).await
    }
}
