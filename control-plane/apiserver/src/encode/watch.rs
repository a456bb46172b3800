//! Watch events as frames. The frame of a change is made once and shared by all who watch in plain JSON.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use oarlock_api::Status;
use oarlock_api::codec::protobuf;
use serde_json::{Value, json};

use super::list::{ListMeta, protobuf_of};
use super::{Accepted, Shape, print, served_value, shape};
use crate::cache::{Batch, Change, Entry, WatchEvent};
use crate::decode::Format;
use crate::registry::Served;

pub(crate) struct WatchEncoder {
    accepted: Accepted,
    columns_sent: bool,
}

impl WatchEncoder {
    pub(crate) fn new(accepted: Accepted) -> Self {
        // Frames are lines: nothing is indented.
        Self { accepted: Accepted { pretty: false, ..accepted }, columns_sent: false }
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self.accepted.format {
            Format::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        }
    }

    pub(crate) fn event(&mut self, served: &Served, event: &WatchEvent) -> Bytes {
        match event {
            WatchEvent::Bookmark { revision, initial_events_end } => {
                self.object("BOOKMARK", &bookmark(&self.accepted, served, *revision, *initial_events_end))
            }
            WatchEvent::Change { kind, entry, shared } => {
                self.change(served, kind.as_str(), entry, shared.as_deref())
            }
        }
    }

    /// Changes that are seen whole, which may be framed already for somebody else.
    pub(crate) fn batch(&mut self, served: &Served, batch: &Batch) -> Bytes {
        let accepted = &self.accepted;
        let plain = accepted.format == Format::Json && accepted.shape == Shape::Object;
        if plain && batch.changes.iter().all(|change| served.takes(&change.entry)) {
            return batch.frames.get_or_init(|| json_frames(&batch.changes)).clone();
        }
        let mut bytes = BytesMut::new();
        for change in &batch.changes {
            bytes.extend_from_slice(&self.change(served, change.kind.as_str(), &change.entry, Some(change)));
        }
        bytes.freeze()
    }

    /// The event that ends a watch which cannot go on.
    pub(crate) fn error(&self, status: &Status) -> Bytes {
        self.object("ERROR", &status.to_value())
    }

    fn change(&mut self, served: &Served, kind: &str, entry: &Entry, shared: Option<&Change>) -> Bytes {
        if served.takes(entry) && self.accepted.shape == Shape::Object {
            if self.accepted.format == Format::Protobuf {
                let object =
                    protobuf::wrap(&served.gvk.api_version(), served.api.kind, &protobuf_of(served, entry));
                return protobuf::watch_frame(kind, &object).into();
            }
            return match shared {
                Some(change) => change.frame.get_or_init(|| json_frame(kind, &entry.json)).clone(),
                None => json_frame(kind, &entry.json),
            };
        }
        let value = served_value(served, entry);
        let value = match self.accepted.shape {
            Shape::Object => value,
            Shape::Partial | Shape::PartialList => shape::partial(&self.accepted, &value),
            Shape::Table => {
                let meta = ListMeta { revision: entry.revision.to_string(), ..ListMeta::default() };
                let columns = !std::mem::replace(&mut self.columns_sent, true);
                shape::table(&self.accepted, served, &meta, std::iter::once(&value), columns)
            }
        };
        self.object(kind, &value)
    }

    fn object(&self, kind: &str, value: &Value) -> Bytes {
        let bytes = print(&self.accepted, value);
        match self.accepted.format {
            Format::Protobuf => protobuf::watch_frame(kind, &bytes).into(),
            _ => json_frame(kind, &bytes),
        }
    }
}

fn json_frames(changes: &[Arc<Change>]) -> Bytes {
    if let [change] = changes {
        return change.frame.get_or_init(|| json_frame(change.kind.as_str(), &change.entry.json)).clone();
    }
    let size = changes.iter().map(|change| change.entry.json.len() + FRAME_MAX).sum();
    let mut frames = BytesMut::with_capacity(size);
    for change in changes {
        put_frame(&mut frames, change.kind.as_str(), &change.entry.json);
    }
    frames.freeze()
}

/// What stands around an object at most.
const FRAME_MAX: usize = 40;

fn json_frame(kind: &str, object: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(object.len() + FRAME_MAX);
    put_frame(&mut frame, kind, object);
    frame.freeze()
}

fn put_frame(frame: &mut BytesMut, kind: &str, object: &[u8]) {
    frame.put_slice(b"{\"type\":\"");
    frame.put_slice(kind.as_bytes());
    frame.put_slice(b"\",\"object\":");
    frame.put_slice(object);
    frame.put_slice(b"}\n");
}

fn bookmark(accepted: &Accepted, served: &Served, revision: u64, initial_events_end: bool) -> Value {
    let mut meta = json!({ "resourceVersion": revision.to_string() });
    if initial_events_end {
        meta["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    let object = json!({ "kind": served.api.kind, "apiVersion": served.gvk.api_version(), "metadata": meta });
    match accepted.shape {
        Shape::Object => object,
        Shape::Partial | Shape::PartialList => shape::partial(accepted, &object),
        Shape::Table => {
            let mut table = json!({ "kind": "Table", "apiVersion": shape::meta_version(accepted), "metadata": { "resourceVersion": revision.to_string() } });
            table["rows"] = json!([{ "cells": [], "object": shape::partial(accepted, &object) }]);
            table
        }
    }
}
