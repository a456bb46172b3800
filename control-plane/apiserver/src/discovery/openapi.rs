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
use oarlock_api::openapi::OpenApi;
use parking_lot::Mutex;

use crate::body::{Body, empty};
use crate::decode::Format;
use crate::encode;
use crate::request_info::Query;

pub(super) struct Documents {
    openapi: Arc<OpenApi>,
    fingerprint: String,
    /// By path; gzip.
    written: Mutex<HashMap<String, Bytes>>,
}

const V2: &str = "v2";

impl Documents {
    pub(super) fn new() -> Self {
        let openapi = OpenApi::new(|resource| resource.served_by_default);
        Self { fingerprint: openapi.fingerprint(), openapi: Arc::new(openapi), written: Mutex::default() }
    }

    pub(super) fn index(&self, headers: &HeaderMap) -> Response<Body> {
        self.tagged(headers, || {
            let index = self.openapi.v3_index().to_string();
            encode::respond(StatusCode::OK, Format::Json, index)
        })
    }

    pub(super) async fn v2(&self, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        if self.is_known(headers) {
            return Ok(self.not_modified());
        }
        let accept = headers.get_all(http::header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
        let kinds: Vec<&str> = accept.flat_map(|value| value.split(',')).map(str::trim).collect();
        let json = |kind: &&str| {
            ["application/json", "*/*", "application/*"].contains(&kind.split(';').next().unwrap_or_default())
        };
        if !kinds.is_empty() && !kinds.iter().any(json) {
            return Err(Status::not_acceptable(
                "only the following media types are accepted: application/json",
            ));
        }
        self.document(V2, headers).await
    }

    /// A document of v3 by its path; a stale hash is sent to the current address.
    pub(super) async fn v3(
        &self,
        path: &str,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Response<Body>, Status> {
        match query.get("hash") {
            Some(hash) if hash != self.fingerprint => {
                let mut response = Response::new(empty());
                *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
                let location =
                    HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={}", self.fingerprint));
                response.headers_mut().insert(LOCATION, location.map_err(|_| Status::page_not_found())?);
                return Ok(response);
            }
            _ if self.is_known(headers) => return Ok(self.not_modified()),
            _ => {}
        }
        let mut response = self.document(path, headers).await?;
        if query.get("hash").is_some() {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        }
        Ok(response)
    }

    async fn document(&self, path: &str, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        let ready = self.written.lock().get(path).cloned();
        let packed = match ready {
            Some(packed) => packed,
            None => {
                let (openapi, wanted) = (self.openapi.clone(), path.to_string());
                let written = tokio::task::spawn_blocking(move || write(&openapi, &wanted)).await;
                let packed = written.map_err(Status::internal)?.ok_or_else(Status::page_not_found)?;
                self.written.lock().insert(path.to_string(), packed.clone());
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
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
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

fn write(openapi: &OpenApi, path: &str) -> Option<Bytes> {
    let plain = if path == V2 { openapi.v2_document() } else { openapi.v3_document(path)? };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&plain).expect("writing to memory does not fail");
    Some(encoder.finish().expect("writing to memory does not fail").into())
}
