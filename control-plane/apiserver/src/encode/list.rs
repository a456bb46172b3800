//! Lists: the bytes of their objects in a row, sent while they are gathered from a snapshot.

use std::io::Write as _;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use http::{Response, StatusCode};
use oarlock_api::codec::protobuf;
use oarlock_api::{Schema, Table};
use serde_json::{Map, Value};

use super::{Accepted, Shape, object, respond, served_value, shape, status};
use crate::body::{Body, stream as stream_body};
use crate::cache::Entry;
use crate::decode::Format;
use crate::registry::Served;

/// Lists above this are sent piece by piece.
const CHUNK: usize = 64 * 1024;
/// Lists above this are compressed for those who accept it, as upstream.
const GZIP_FROM: usize = 128 * 1024;

#[derive(Debug, Clone, Default)]
pub(crate) struct ListMeta {
    pub(crate) revision: String,
    pub(crate) next: String,
    pub(crate) remaining: Option<usize>,
}

impl ListMeta {
    pub(super) fn to_value(&self) -> Value {
        let mut meta = Map::new();
        if !self.next.is_empty() {
            meta.insert("continue".into(), self.next.as_str().into());
        }
        if let Some(remaining) = self.remaining {
            meta.insert("remainingItemCount".into(), remaining.into());
        }
        meta.insert("resourceVersion".into(), self.revision.as_str().into());
        meta.into()
    }
}

/// The response of a list.
pub(crate) fn list(
    accepted: &Accepted,
    served: &Served,
    meta: &ListMeta,
    items: Vec<Arc<Entry>>,
) -> Response<Body> {
    if accepted.is_plain_json() && served.conversion.is_none() {
        return json_list(accepted, served, meta, items);
    }
    if accepted.format == Format::Protobuf && accepted.shape == Shape::Object && served.conversion.is_none() {
        return respond(StatusCode::OK, Format::Protobuf, protobuf_list(served, meta, &items));
    }
    let values = items.iter().map(|entry| served_value(served, entry)).collect();
    print_list(accepted, served, meta, values)
}

/// What an item says of its type where it stands alone, and in a list does not: of a built-in kind the list says it for all.
fn item_head(served: &Served) -> Option<String> {
    let Served { api, gvk, .. } = served;
    let head = || format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", api.kind, gvk.api_version());
    served.custom.is_none().then(head)
}

fn list_value(kind: &str, api_version: &str, meta: &ListMeta, items: Vec<Value>) -> Value {
    serde_json::json!({ "kind": kind, "apiVersion": api_version, "metadata": meta.to_value(), "items": items })
}

fn json_list(
    accepted: &Accepted,
    served: &Served,
    meta: &ListMeta,
    items: Vec<Arc<Entry>>,
) -> Response<Body> {
    let head = format!(
        "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{},\"items\":[",
        served.api.kind,
        served.gvk.api_version(),
        meta.to_value()
    );
    let size = head.len() + items.iter().map(|entry| entry.json.len() + 1).sum::<usize>() + 3;
    if size <= CHUNK || (accepted.gzip && size > GZIP_FROM) {
        let mut whole = Pieces::new(head, item_head(served), items);
        if size > CHUNK {
            return gzipped(whole);
        }
        let bytes = whole.next_piece(usize::MAX).unwrap_or_default();
        return respond(StatusCode::OK, Format::Json, bytes);
    }
    let pieces = stream::unfold(Pieces::new(head, item_head(served), items), |mut pieces| async move {
        pieces.next_piece(CHUNK).map(|piece| (Ok(piece), pieces))
    });
    let mut response = Response::new(stream_body(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn gzipped(mut pieces: Pieces) -> Response<Body> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    while let Some(piece) = pieces.next_piece(CHUNK) {
        encoder.write_all(&piece).expect("writing to memory does not fail");
    }
    let bytes = encoder.finish().expect("writing to memory does not fail");
    let mut response = respond(StatusCode::OK, Format::Json, bytes);
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// A JSON list that is gathered piece by piece.
struct Pieces {
    head: Option<String>,
    item_head: Option<String>,
    items: std::vec::IntoIter<Arc<Entry>>,
    first: bool,
    ended: bool,
}

impl Pieces {
    fn new(head: String, item_head: Option<String>, items: Vec<Arc<Entry>>) -> Self {
        Self { head: Some(head), item_head, items: items.into_iter(), first: true, ended: false }
    }

    /// At least `size` bytes more, or what is left.
    fn next_piece(&mut self, size: usize) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut piece = BytesMut::with_capacity(size.min(CHUNK + CHUNK / 4));
        if let Some(head) = self.head.take() {
            piece.put_slice(head.as_bytes());
        }
        while piece.len() < size {
            let Some(entry) = self.items.next() else {
                piece.put_slice(b"]}\n");
                self.ended = true;
                break;
            };
            if !std::mem::replace(&mut self.first, false) {
                piece.put_u8(b',');
            }
            match self.item_head.as_ref().and_then(|head| entry.json.strip_prefix(head.as_bytes())) {
                Some(rest) => {
                    piece.put_u8(b'{');
                    piece.put_slice(rest);
                }
                None => piece.put_slice(&entry.json),
            }
        }
        Some(piece.freeze())
    }
}

/// The protobuf message of one object, made once.
pub(super) fn protobuf_of(served: &Served, entry: &Entry) -> Bytes {
    let make = || match served.shape {
        Schema::Typed(ty) => protobuf::encode(Table::builtin(), ty, &entry.value(false)).into(),
        // Custom resources have no messages; negotiation refuses protobuf for them.
        Schema::Structural(_) | Schema::Deduced => Bytes::new(),
    };
    entry.protobuf.get_or_init(make).clone()
}

/// Every list type of the API is `metadata = 1, items = 2`.
fn protobuf_list(served: &Served, meta: &ListMeta, items: &[Arc<Entry>]) -> Bytes {
    let table = Table::builtin();
    let meta_type = shape::meta_type("ListMeta").expect("the table holds ListMeta");
    let mut raw = Vec::new();
    put_message(&mut raw, 1, &protobuf::encode(table, meta_type, &meta.to_value()));
    for entry in items {
        put_message(&mut raw, 2, &protobuf_of(served, entry));
    }
    protobuf::wrap(&served.gvk.api_version(), &format!("{}List", served.api.kind), &raw).into()
}

fn put_message(out: &mut Vec<u8>, field: u8, message: &[u8]) {
    out.push(field << 3 | 2);
    let mut length = message.len();
    while length >= 0x80 {
        // The low seven bits; the eighth says that more follow.
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(message);
}

/// A list of trees: what deletecollection took away, or what no cache holds.
pub(crate) fn print_list(
    accepted: &Accepted,
    served: &Served,
    meta: &ListMeta,
    values: Vec<Value>,
) -> Response<Body> {
    if accepted.shape == Shape::Partial {
        return status(accepted, &shape::is_a_list(served));
    }
    object(accepted, StatusCode::OK, &shaped(accepted, served, meta, values))
}

fn shaped(accepted: &Accepted, served: &Served, meta: &ListMeta, mut values: Vec<Value>) -> Value {
    match accepted.shape {
        Shape::Table => {
            if served.api.plural == "flowschemas" && served.custom.is_none() {
                // In the order in which they are tried.
                values.sort_by_key(|schema| schema["spec"]["matchingPrecedence"].as_i64());
            }
            shape::table(accepted, served, meta, values.iter(), true)
        }
        Shape::Partial | Shape::PartialList => {
            let items: Vec<Value> = values.iter().map(|value| shape::partial(accepted, value)).collect();
            list_value("PartialObjectMetadataList", shape::meta_version(accepted), meta, items)
        }
        Shape::Object => {
            for fields in values.iter_mut().filter_map(Value::as_object_mut) {
                if served.custom.is_none() {
                    fields.remove("kind");
                    fields.remove("apiVersion");
                }
            }
            list_value(&format!("{}List", served.api.kind), &served.gvk.api_version(), meta, values)
        }
    }
}
