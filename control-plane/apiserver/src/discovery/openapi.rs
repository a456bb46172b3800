//! `/openapi/v2` and `/openapi/v3/…`: written when first asked for, kept compressed.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION, VARY,
};
use http::{HeaderMap, Response, StatusCode};
use oarlock_api::Status;
use oarlock_api::openapi::{CustomApi, OpenApi, encode_v2, encode_v3};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::documents::View;
use crate::aggregate::merge_openapi_v2;
use crate::body::{Body, empty};
use crate::decode::Format;
use crate::encode;
use crate::request_info::Query;

pub(super) struct Documents {
    openapi: Arc<OpenApi>,
    /// Documents of other servers: those of v2 are joined to ours, those of v3 are listed.
    others: Vec<Bytes>,
    index: String,
    fingerprint: String,
    /// By path; gzip.
    written: Mutex<HashMap<String, Bytes>>,
}

const V2: &str = "v2";
/// What the path of a document ends with where it is kept as protobuf.
const AS_PROTOBUF: &str = ".protobuf";

const JSON: &str = "application/json";

/// A form of protobuf: as it is answered, and as clients ask.
struct Protobuf {
    answered: &'static str,
    asked: &'static str,
}

const PROTOBUF_V2: Protobuf = Protobuf {
    answered: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    asked: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
};
const PROTOBUF_V3: Protobuf = Protobuf {
    answered: "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
    asked: "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
};

impl Documents {
    pub(super) fn new(view: &View, enums: bool) -> Self {
        let custom = view.resources.served().iter().filter_map(|served| {
            let version: Arc<dyn CustomApi> = served.custom.as_ref()?.version.clone();
            Some(version)
        });
        let openapi = OpenApi::new(|api| view.resources.find(api.group, api.version, api.plural).is_some())
            .with_custom(custom)
            .with_enums(enums);
        let mut index = openapi.v3_index();
        for (group, version) in view.remote.versions() {
            let described = view.remote.described(group, version);
            if let Some(hash) = described.and_then(|described| described.openapi_v3.as_deref()) {
                let path = format!("apis/{group}/{version}");
                index["paths"][&path]["serverRelativeURL"] = format!("/openapi/v3/{path}?hash={hash}").into();
            }
        }
        let others: Vec<Bytes> = view.remote.all().filter_map(|d| d.openapi_v2.clone()).collect();
        let index = index.to_string();
        let mut hash = Sha256::new();
        hash.update(openapi.fingerprint());
        hash.update(&index);
        others.iter().for_each(|document| hash.update(document));
        let fingerprint = hex::encode_upper(hash.finalize());
        Self { fingerprint, others, index, openapi: Arc::new(openapi), written: Mutex::default() }
    }

    pub(super) fn index(&self, headers: &HeaderMap) -> Response<Body> {
        self.tagged(headers, || encode::respond(StatusCode::OK, Format::Json, self.index.clone()))
    }

    pub(super) async fn v2(&self, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        if self.is_known(headers) {
            return Ok(self.not_modified());
        }
        let protobuf = wants(headers, &PROTOBUF_V2).ok_or_else(|| {
            let known = PROTOBUF_V2.answered;
            Status::not_acceptable(format!("only the following media types are accepted: {JSON}, {known}"))
        })?;
        self.document(V2, protobuf, headers).await
    }

    /// A document of v3 by its path; a stale hash is sent to the current address.
    pub(super) async fn v3(
        &self,
        path: &str,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Response<Body>, Status> {
        let current = self.openapi.v3_fingerprint(path).ok_or_else(Status::page_not_found)?;
        match query.get("hash") {
            Some(hash) if hash != current => {
                let mut response = Response::new(empty());
                *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
                let location = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={current}"));
                response.headers_mut().insert(LOCATION, location.map_err(|_| Status::page_not_found())?);
                return Ok(response);
            }
            _ if self.is_known(headers) => return Ok(self.not_modified()),
            _ => {}
        }
        let Some(protobuf) = wants(headers, &PROTOBUF_V3) else {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
            return Ok(response);
        };
        let mut response = self.document(path, protobuf, headers).await?;
        if query.get("hash").is_some() {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        }
        Ok(response)
    }

    async fn document(
        &self,
        path: &str,
        protobuf: Option<&'static str>,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Status> {
        let path = format!("{path}{}", if protobuf.is_some() { AS_PROTOBUF } else { "" });
        let ready = self.written.lock().get(&path).cloned();
        let packed = match ready {
            Some(packed) => packed,
            None => {
                let (openapi, others, wanted) = (self.openapi.clone(), self.others.clone(), path.clone());
                let written = tokio::task::spawn_blocking(move || write(&openapi, &others, &wanted)).await;
                let packed = written.map_err(Status::internal)?.ok_or_else(Status::page_not_found)?;
                self.written.lock().insert(path, packed.clone());
                packed
            }
        };
        let accepts_gzip = headers
            .get_all(http::header::ACCEPT_ENCODING)
            .iter()
            .any(|value| value.to_str().is_ok_and(|text| text.contains("gzip")));
        let mut response = if accepts_gzip {
            let mut response = encode::respond(StatusCode::OK, Format::Json, packed);
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        } else {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut plain).map_err(Status::internal)?;
            encode::respond(StatusCode::OK, Format::Json, plain)
        };
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
        response.headers_mut().insert(ETAG, self.etag());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(protobuf.unwrap_or(JSON)));
        Ok(response)
    }

    fn tagged(&self, headers: &HeaderMap, make: impl FnOnce() -> Response<Body>) -> Response<Body> {
        if self.is_known(headers) {
            return self.not_modified();
        }
        let mut response = make();
        response.headers_mut().insert(ETAG, self.etag());
        response
    }

    fn etag(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("\"{}\"", self.fingerprint))
            .expect("hexadecimal digits are a header value")
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        headers.get(IF_NONE_MATCH).is_some_and(|etag| *etag == self.etag())
    }

    fn not_modified(&self) -> Response<Body> {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, self.etag());
        response
    }
}

/// The form that a client wants most: protobuf under its name, or JSON; none where it can read neither.
fn wants(headers: &HeaderMap, protobuf: &Protobuf) -> Option<Option<&'static str>> {
    let accept = headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accept.flat_map(|value| value.split(',')).peekable();
    if kinds.peek().is_none() {
        return Some(None);
    }
    kinds.find_map(|kind| match kind.split(';').next().unwrap_or_default().trim() {
        JSON | "*/*" | "application/*" => Some(None),
        kind if kind == protobuf.answered || kind == protobuf.asked => Some(Some(protobuf.answered)),
        _ => None,
    })
}

fn write(openapi: &OpenApi, others: &[Bytes], path: &str) -> Option<Bytes> {
    let plain = match (path.strip_suffix(AS_PROTOBUF), path) {
        (None, V2) if others.is_empty() => openapi.v2_document(),
        (None, V2) => joined(&openapi.v2_document(), others).to_string().into_bytes(),
        (Some(V2), _) => encode_v2(&joined(&openapi.v2_document(), others)),
        (None, path) => openapi.v3_document(path)?,
        (Some(path), _) => encode_v3(&joined(&openapi.v3_document(path)?, &[])),
    };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&plain).expect("writing to memory does not fail");
    Some(encoder.finish().expect("writing to memory does not fail").into())
}

/// Our document with those of other servers in it.
fn joined(ours: &[u8], others: &[Bytes]) -> Value {
    let mut document: Value = serde_json::from_slice(ours).expect("the writer prints valid JSON");
    others.iter().for_each(|other| merge_openapi_v2(&mut document, other));
    document
}
