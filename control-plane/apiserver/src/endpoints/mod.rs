//! The verbs, one handler set for every resource: what differs between kinds is in the type table and in strategies.
//!
//! Subresources that are views of their object (status, scale, …) are updates with another body; the rest (binding,
//! eviction, log, exec, …) have a file each.

mod binding;
mod connect;
mod create;
mod delete;
mod deprecation;
mod eviction;
mod get;
mod list;
mod options;
mod ownership;
mod patch;
mod proxy;
mod reviews;
mod scale;
mod token;
mod update;
mod watch;
mod websocket;

pub(crate) use deprecation::{deprecation, removed_release};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use oarlock_api::Status;
use oarlock_apiserver_access::{Annotations, User};
use oarlock_apiserver_audit::Record;
use serde_json::Value;

use crate::body::Body;
use crate::cache::Entry;
use crate::custom;
use crate::decode::{Expected, Format, Strictness};
use crate::encode::{self, Accepted};
use crate::registry::{Served, Written};
use crate::request_info::{Query, RequestInfo};
use crate::server::Server;

/// One authorised request on a resource.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a Arc<Server>,
    pub(crate) info: &'a RequestInfo,
    pub(crate) query: &'a Query,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) user: &'a Arc<User>,
    pub(crate) served: &'a Arc<Served>,
    /// What admission tells the audit and the client.
    pub(crate) annotations: &'a Annotations,
    /// Where the audit writes this request down, if it does.
    pub(crate) record: Option<&'a Record>,
}

impl Call<'_> {
    pub(crate) fn place(&self) -> (&str, &str) {
        (self.namespace(), &self.info.name)
    }

    /// Empty for what has no namespace, also where the path of a namespace itself names one.
    pub(crate) fn namespace(&self) -> &str {
        if self.served.api.namespaced { &self.info.namespace } else { "" }
    }

    fn accepted(&self) -> Result<Accepted, Status> {
        let objects = match self.info.verb.as_str() {
            _ if self.served.custom.is_some() => encode::Offer::WithoutProtobuf,
            "list" | "watch" => encode::Offer::Collection,
            _ => encode::Offer::All,
        };
        let accepted = encode::negotiate_of(self.headers, self.query, objects)?;
        Ok(Accepted { gzip: accepted.gzip && self.server.compresses, ..accepted })
    }

    /// Tells the audit what was asked for.
    fn recorded(&self, object: &Value) {
        if let Some(record) = self.record {
            record.request_object(object);
        }
    }

    /// What the body is to be.
    fn expected(&self, strictness: Strictness) -> Expected<'_> {
        let served = self.served;
        Expected { gvk: &served.gvk, schema: &served.shape, custom: served.custom.as_ref(), strictness }
    }

    /// Entries of the cache in the version that is served.
    async fn in_version(&self, entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Status> {
        if self.served.custom.is_none() {
            return Ok(entries);
        }
        custom::entries(self.served, entries, &self.server.registry.conversions).await
    }

    /// Answers with an object of the served version.
    fn answer(
        &self,
        code: StatusCode,
        written: Written,
        warnings: &[String],
    ) -> Result<Response<Body>, Status> {
        let accepted = self.accepted()?;
        let mut response = match written {
            Written::Json(json) if accepted.is_plain_json() => encode::respond(code, Format::Json, json),
            written => encode::object_in_shape(&accepted, self.served, code, written.into_tree()),
        };
        encode::warn(&mut response, warnings);
        Ok(response)
    }
}

/// Routes a request on a resource to its verb.
pub(crate) async fn serve(call: Call<'_>, request: Request<Body>) -> Result<Response<Body>, Status> {
    match websocket::messages(&call, &request) {
        Some(messages) => websocket::serve(call, request, messages).await,
        None => route(call, request).await,
    }
}

async fn route(call: Call<'_>, request: Request<Body>) -> Result<Response<Body>, Status> {
    let verb = call.info.verb.as_str();
    check_scope(&call, verb)?;
    if *request.method() == Method::HEAD && call.info.subresource != "proxy" {
        return Err(not_allowed());
    }
    if !call.info.subresource.is_empty() && call.served.api.subresource(&call.info.subresource).is_none() {
        return Err(match &call.served.custom {
            Some(_) => Status::not_found(&call.served.group_resource, &call.info.name),
            None => Status::page_not_found(),
        });
    }
    if !is_served(&call, verb) {
        return Err(not_allowed());
    }
    if !call.info.subresource.is_empty() {
        return subresource(call, request).await;
    }
    if call.served.stored.is_none() {
        return match (call.served.api.plural, verb) {
            ("bindings", "create") => binding::create(call, body(request).await?).await,
            ("componentstatuses", _) => get::component_statuses(&call).await,
            _ => reviews::create(call, body(request).await?).await,
        };
    }
    if verb == "create" && call.served.custom.as_ref().is_some_and(|custom| custom.resource.terminating) {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Status::new(405, "MethodNotAllowed", why));
    }
    match verb {
        "get" => get::get(&call).await,
        "list" => list::list(&call).await,
        "watch" => {
            // What no list could be told in, no watch can.
            call.accepted()?;
            watch::watch(&call).await
        }
        "create" => create::create(call, body(request).await?).await,
        "update" => update::update(call, body(request).await?).await,
        "patch" => patch::patch(call, body(request).await?).await,
        "delete" => delete::delete(call, body(request).await?).await,
        "deletecollection" => delete::delete_collection(call, body(request).await?).await,
        _ => Err(not_allowed()),
    }
}

async fn subresource(call: Call<'_>, request: Request<Body>) -> Result<Response<Body>, Status> {
    let verb = call.info.verb.as_str();
    match (call.info.subresource.as_str(), verb) {
        ("scale", _) => scale::serve(call, body(request).await?).await,
        ("binding", _) => binding::create(call, body(request).await?).await,
        ("eviction", _) => eviction::create(call, body(request).await?).await,
        ("token", _) => token::create(call, body(request).await?).await,
        ("log", _) => connect::log(call).await,
        ("exec" | "attach" | "portforward", _) => connect::stream(call, request).await,
        ("proxy", _) => proxy::serve(call, request).await,
        (_, "get") => get::get(&call).await,
        (_, "update") => update::update(call, body(request).await?).await,
        (_, "patch") => patch::patch(call, body(request).await?).await,
        _ => Err(not_allowed()),
    }
}

/// Upstream routes no path that names a namespace for what has none, across namespaces only lists and watches, and
/// creation only on collections, replacement only on objects.
fn check_scope(call: &Call<'_>, verb: &str) -> Result<(), Status> {
    let (api, info) = (&call.served.api, call.info);
    let is_namespaces = api.group.is_empty() && api.plural == "namespaces";
    if (!api.namespaced && !info.namespace.is_empty() && !is_namespaces) || info.name.contains('/') {
        return Err(Status::page_not_found());
    }
    let aims_wrong = match verb {
        "update" | "patch" => info.name.is_empty(),
        "create" => !info.name.is_empty() && info.subresource.is_empty(),
        _ => false,
    };
    if aims_wrong {
        return Err(not_allowed());
    }
    if !api.namespaced || !info.namespace.is_empty() || matches!(verb, "list" | "watch") {
        return Ok(());
    }
    Err(if info.name.is_empty() { not_allowed() } else { Status::page_not_found() })
}

fn is_served(call: &Call<'_>, verb: &str) -> bool {
    if call.info.subresource.is_empty() {
        return call.served.api.has_verb(verb);
    }
    match call.served.api.subresource(&call.info.subresource) {
        None => false,
        Some(sub) if matches!(sub.name, "proxy" | "exec" | "attach" | "portforward") => !sub.verbs.is_empty(),
        Some(sub) => sub.verbs.contains(&verb),
    }
}

fn not_allowed() -> Status {
    Status::method_is_not_allowed()
}

async fn body(request: Request<Body>) -> Result<Bytes, Status> {
    crate::decode::read_body(request.into_body()).await
}
