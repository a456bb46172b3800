//! From objects to responses: one object, lists, watch events, errors; in the format and shape the client accepts.
//!
//! What the cache holds as JSON is copied, never printed again.

mod list;
mod negotiate;
mod open;
mod shape;
mod watch;

pub(crate) use list::{ListMeta, list, print_list};
pub(crate) use negotiate::{Accepted, Offer, Shape, by_quality, negotiate, negotiate_of};
pub(crate) use open::{Encoded, Open};
pub(crate) use watch::WatchEncoder;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use oarlock_api::codec::{json, protobuf, yaml};
use oarlock_api::{Schema, Status, Table};
use serde_json::Value;

use crate::body::{Body, full};
use crate::cache::Entry;
use crate::decode::Format;
use crate::registry::{Served, Storage};

/// The bytes that the store keeps: JSON or protobuf, without a resourceVersion.
pub(crate) fn stored(storage: &Storage, object: &Value) -> Bytes {
    if object["metadata"].get("resourceVersion").is_none() {
        return stored_form(storage, object);
    }
    let mut object = object.clone();
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.remove("resourceVersion");
    }
    stored_form(storage, &object)
}

fn stored_form(storage: &Storage, object: &Value) -> Bytes {
    match storage.schema {
        Schema::Typed(ty) if storage.protobuf => {
            let raw = protobuf::encode(Table::builtin(), ty, object);
            let version = storage.written_in.map_or_else(|| storage.gvk.api_version(), str::to_string);
            protobuf::wrap(&version, &storage.gvk.kind, &raw).into()
        }
        _ if storage.written_in.is_some() => {
            let mut object = object.clone();
            oarlock_api::conversion::definition_to_kept(&mut object);
            object.to_string().into()
        }
        _ => json_of(&storage.schema, object).into(),
    }
}

/// An object as JSON: of a built-in type in the order of its fields, otherwise in the order of their names.
pub(crate) fn json_of(schema: &Schema, object: &Value) -> Vec<u8> {
    match schema {
        Schema::Typed(ty) => json::encode(Table::builtin(), *ty, object),
        Schema::Structural(_) | Schema::Deduced => {
            serde_json::to_vec(object).expect("a tree of JSON values always serialises")
        }
    }
}

/// An object of the cache in the version that is served.
pub(crate) fn served_value(served: &Served, entry: &Entry) -> Value {
    let mut value = Arc::unwrap_or_clone(entry.value(false));
    to_served(served, &mut value);
    value
}

pub(crate) fn to_served(served: &Served, object: &mut Value) {
    if let Some(conversion) = served.conversion {
        conversion.to_served(object);
    }
}

/// One object of the cache.
pub(crate) fn entry(accepted: &Accepted, served: &Served, entry: &Entry) -> Response<Body> {
    if accepted.is_plain_json() && served.takes(entry) {
        return respond(StatusCode::OK, Format::Json, entry.json.clone());
    }
    object_in_shape(accepted, served, StatusCode::OK, served_value(served, entry))
}

/// One object of a served resource; `value` is in the served version.
pub(crate) fn object_in_shape(
    accepted: &Accepted,
    served: &Served,
    code: StatusCode,
    value: Value,
) -> Response<Body> {
    match accepted.shape {
        Shape::Object => object(accepted, code, &value),
        Shape::Partial => object(accepted, code, &shape::partial(accepted, &value)),
        Shape::PartialList => status(accepted, &shape::not_a_list(served)),
        Shape::Table => {
            let revision = value["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_string();
            let meta = ListMeta { revision, ..ListMeta::default() };
            let table = shape::table(accepted, served, &meta, std::iter::once(&value), true);
            object(accepted, code, &table)
        }
    }
}

/// Any object that says what it is.
pub(crate) fn object(accepted: &Accepted, code: StatusCode, value: &Value) -> Response<Body> {
    respond(code, accepted.format, print(accepted, value))
}

/// The bytes of an object in the accepted format.
pub(crate) fn print(accepted: &Accepted, value: &Value) -> Bytes {
    let table = Table::builtin();
    let ty = {
        let text = |field: &str| value[field].as_str().unwrap_or_default();
        let (group, version) = oarlock_api::gvk::split_api_version(text("apiVersion"));
        table.type_of(group, version, text("kind")).or_else(|| shape::meta_type(text("kind")))
    };
    match accepted.format {
        Format::Protobuf => match (protobuf::encode_object(table, value), ty) {
            (Ok(bytes), _) => bytes.into(),
            (Err(_), Some(ty)) => {
                let text = |field: &str| value[field].as_str().unwrap_or_default();
                protobuf::wrap(text("apiVersion"), text("kind"), &protobuf::encode(table, ty, value)).into()
            }
            // Nothing that is served is without a type; JSON is at least readable.
            (Err(_), None) => value.to_string().into(),
        },
        Format::Yaml => match ty {
            Some(ty) => yaml::encode(table, ty, value).into(),
            None => yaml::print(value).into(),
        },
        Format::Json => {
            let bytes = match ty {
                Some(ty) => json::encode(table, ty, value),
                None => value.to_string().into_bytes(),
            };
            if accepted.pretty { indent(&bytes) } else { bytes.into() }
        }
    }
}

fn indent(bytes: &[u8]) -> Bytes {
    let value: Value = serde_json::from_slice(bytes).expect("the encoder prints valid JSON");
    let mut text = serde_json::to_vec_pretty(&value).expect("a tree of JSON values always serialises");
    text.push(b'\n');
    text.into()
}

pub(crate) fn respond(code: StatusCode, format: Format, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    response
}

pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// A text that is no failure.
pub(crate) fn page(text: impl Into<Bytes>) -> Response<Body> {
    let mut response = respond(StatusCode::OK, Format::Json, text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A failure, as clients read it.
pub(crate) fn status(accepted: &Accepted, status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let accepted = Accepted { shape: Shape::Object, ..*accepted };
    let mut response = object(&accepted, code, &status.to_value());
    let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if wait > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}

/// `Warning: 299 - "text"` for each, once.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for (index, warning) in warnings.iter().enumerate() {
        if warnings[..index].contains(warning) {
            continue;
        }
        let text: String = warning.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(WARNING, value);
        }
    }
}
