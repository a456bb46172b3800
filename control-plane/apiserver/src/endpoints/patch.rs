//! PATCH: JSON patch, merge patch, strategic merge patch and server-side apply, on the newest version inside the update
//! loop.

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::codec::{json, yaml};
use oarlock_api::patch::{PatchError, json_patch, merge_patch, strategic_merge};
use oarlock_api::{FieldError, Path, Schema, Status, Table};
use parking_lot::Mutex;
use serde_json::Value;

use super::ownership::Owner;
use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Strictness, content_type};
use crate::registry::Served;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A patch that has been read.
pub(super) struct Patch {
    kind: Kind,
    bytes: Bytes,
    tree: Value,
    /// What a strict reader says of the text of an apply.
    strict: Option<String>,
}

impl Kind {
    fn of(call: &Call<'_>) -> Result<Self, Status> {
        let typed = call.served.custom.is_none();
        Ok(match content_type(call.headers) {
            JSON => Self::Json,
            MERGE => Self::Merge,
            STRATEGIC if typed => Self::Strategic,
            APPLY => Self::Apply,
            _ => return Err(unknown_format(typed)),
        })
    }
}

impl Patch {
    /// The patch of a request, and its PatchOptions.
    pub(super) fn read(call: &Call<'_>, body: Bytes) -> Result<(Self, Value), Status> {
        let kind = Kind::of(call)?;
        let options = options::patch_options(call, kind == Kind::Apply)?;
        let bad =
            |before: &str, error: &dyn std::fmt::Display| Status::bad_request(format!("{before}{error}"));
        let (tree, strict) = match kind {
            Kind::Json => (check_operations(&body).map(|()| Value::Null)?, None),
            Kind::Apply => read_configuration(&body)?,
            Kind::Merge => (json::parse(&body).map_err(|error| bad("error decoding patch: ", &error))?, None),
            Kind::Strategic => (json::parse(&body).map_err(|error| bad("", &error))?, None),
        };
        if kind == Kind::Strategic && !tree.is_object() && !tree.is_null() {
            let what = go_type(&tree);
            let why =
                format!("json: cannot unmarshal {what} into Go value of type map[string]interface {{}}");
            return Err(Status::bad_request(why));
        }
        Ok((Self { kind, bytes: body, tree, strict }, options))
    }

    fn record(&self, call: &Call<'_>) {
        match call.record {
            Some(record) if self.is_apply() => record.request_object(&self.tree),
            Some(record) => record.request_patch(&self.bytes),
            None => {}
        }
    }

    pub(super) fn is_apply(&self) -> bool {
        self.kind == Kind::Apply
    }

    /// Refuses text that a strict reader would refuse, or warns of it.
    fn check_text(&self, strictness: Strictness, warnings: &mut Vec<String>) -> Result<(), Status> {
        match (&self.strict, strictness) {
            (Some(strict), Strictness::Strict) => {
                return Err(Status::bad_request(format!("error strict decoding YAML: {strict}")));
            }
            (Some(strict), Strictness::Warn) => warnings.push(yaml::warning(strict).to_string()),
            _ => {}
        }
        Ok(())
    }

    /// The configuration of an apply.
    pub(super) fn configuration(&self) -> &Value {
        &self.tree
    }

    /// The patched tree of `current`, an object of this shape.
    pub(super) fn apply(&self, current: &Value, schema: &Schema) -> Result<Value, PatchError> {
        match (self.kind, schema) {
            (Kind::Json, _) => json_patch(current, &self.bytes),
            (Kind::Strategic, Schema::Typed(ty)) => {
                strategic_merge(Table::builtin(), *ty, current, &self.tree)
            }
            _ => merge_patch(current, &self.tree),
        }
    }
}

impl Patch {
    /// What a refusal tells: a strategic patch as Go prints it; of the others what they made.
    fn shown(&self, patched: &Value) -> String {
        if self.kind == Kind::Strategic {
            return oarlock_api::go::plain(&self.tree);
        }
        patched.to_string()
    }
}

/// Faults of a JSON patch as a whole, in the words that clients know.
fn check_operations(body: &[u8]) -> Result<(), Status> {
    let bad = |why: &dyn std::fmt::Display| Err(Status::bad_request(format!("error decoding patch: {why}")));
    match json::parse(body) {
        Err(error) if body.trim_ascii().is_empty() => bad(&error),
        Ok(tree) if !tree.is_array() && !tree.is_null() => {
            let what = go_type(&tree);
            bad(&format!("json: cannot unmarshal {what} into Go value of type []handlers.jsonPatchOp"))
        }
        // What is wrong with an operation is told where it is applied.
        _ => Ok(()),
    }
}

fn read_configuration(body: &[u8]) -> Result<(Value, Option<String>), Status> {
    let bad = |why: &dyn std::fmt::Display| Status::bad_request(format!("error decoding YAML: {why}"));
    let (tree, strict) = yaml::parse_lenient(body).map_err(|error| bad(&error))?;
    if !tree.is_object() && !tree.is_null() {
        return Err(bad(&format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type \
             map[string]interface {{}}",
            go_type(&tree)
        )));
    }
    Ok((tree, strict))
}

fn go_type(tree: &Value) -> &'static str {
    match tree {
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) | Value::Null => "bool",
    }
}

fn unknown_format(typed: bool) -> Status {
    if typed {
        // Upstream's router says this before anything looks at the patch.
        let said = Status::unsupported_media_type("415: Unsupported Media Type");
        return Status { details: Some(Box::default()), ..said };
    }
    let all = [JSON, MERGE, APPLY];
    Status::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        all.join(", ")
    ))
}

pub(super) async fn patch(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    call.accepted()?;
    let (patch, options) = Patch::read(&call, body)?;
    patch.record(&call);
    if patch.is_apply() {
        return apply(&call, &options, &patch, call.query.flag("force")).await;
    }
    let mut write = call.write(&options);
    let strictness = options::strictness(&call, "PatchOptions")?;
    // The update loop may apply the patch several times; what counts are the warnings of the last.
    let lenient = Mutex::new(Vec::new());
    let owner = Owner::of(&call);
    let served = call.served;
    let transform = |current: &Value| {
        let patched = patch.apply(current, &served.shape).map_err(|error| error.to_status())?;
        let mut warnings = Vec::new();
        let shown = |tree: &Value| patch.shown(tree);
        let versioned = match patch.kind {
            Kind::Strategic => Ok(()),
            _ => decode::check_tree_version(&call.expected(strictness), &patched, &shown),
        };
        let mut object = as_object(&call, patched, &shown, strictness, &mut warnings)?;
        *lenient.lock() = warnings;
        versioned?;
        check_identity(&object, current)?;
        check_uid(served, &object, current)?;
        owner.track(Some(current), &mut object);
        Ok(object)
    };
    let registry = &call.server.registry;
    let updated = registry.update(served, call.place(), &mut write, None, transform).await;
    let mut warnings = lenient.into_inner();
    warnings.append(&mut write.warnings);
    let updated = updated.map_err(|status| status.with_warnings(&mut warnings))?;
    call.answer(StatusCode::OK, updated.written, &warnings)
}

/// A tree as a defaulted object of the served type.
fn as_object(
    call: &Call<'_>,
    tree: Value,
    shown: &dyn Fn(&Value) -> String,
    strictness: Strictness,
    warnings: &mut Vec<String>,
) -> Result<Value, Status> {
    let served = call.served;
    let mut object = decode::tree(&call.expected(strictness), tree, shown, warnings)?;
    decode::default(served, &mut object);
    Ok(object)
}

/// What an apply made, as a defaulted object of the served type.
fn applied_object(call: &Call<'_>, mut tree: Value) -> Result<Value, Status> {
    match &call.served.custom {
        Some(custom) => {
            custom.version.take_applied(&mut tree).map_err(|error| error.status())?;
            Ok(tree)
        }
        None => as_object(call, tree, &Value::to_string, Strictness::Ignore, &mut Vec::new()),
    }
}

/// How often somebody else may create or delete the object between our two looks at it.
const APPLY_TRIES: usize = 5;

/// Server-side apply: an update of what is there, the creation of what is not.
async fn apply(
    call: &Call<'_>,
    options: &Value,
    patch: &Patch,
    force: bool,
) -> Result<Response<Body>, Status> {
    let mut gone = None;
    for _ in 0..APPLY_TRIES {
        match apply_to_live(call, options, patch, force).await {
            Err(status) if status.reason == "NotFound" && call.info.subresource.is_empty() => {}
            other => return other,
        }
        match apply_as_creation(call, options, patch, force).await {
            Err(status) if status.reason == "AlreadyExists" => gone = Some(status),
            other => return other,
        }
    }
    Err(gone.unwrap_or_else(|| Status::not_found(&call.served.group_resource, &call.info.name)))
}

async fn apply_to_live(
    call: &Call<'_>,
    options: &Value,
    patch: &Patch,
    force: bool,
) -> Result<Response<Body>, Status> {
    let owner = Owner::of(call);
    let served = call.served;
    let mut write = call.write(options);
    let strictness = options::strictness(call, "PatchOptions")?;
    let transform = |current: &Value| {
        let applied = owner.apply(Some(current), patch.configuration(), force);
        let applied = applied.map_err(|error| error.to_status())?;
        patch.check_text(strictness, &mut Vec::new())?;
        let object = applied_object(call, applied.object)?;
        check_identity(&object, current)?;
        check_uid(served, &object, current)?;
        Ok(object)
    };
    let updated = call.server.registry.update(served, call.place(), &mut write, None, transform).await;
    let mut warnings = Vec::new();
    let text = patch.check_text(strictness, &mut warnings);
    warnings.append(&mut write.warnings);
    let updated = updated.map_err(|status| status.with_warnings(&mut warnings))?;
    text?;
    call.answer(StatusCode::OK, updated.written, &warnings)
}

async fn apply_as_creation(
    call: &Call<'_>,
    options: &Value,
    patch: &Patch,
    force: bool,
) -> Result<Response<Body>, Status> {
    call.server.authorize(call.info, call.user, "create").await?;
    let mut write = call.write(options);
    let strictness = options::strictness(call, "PatchOptions")?;
    let mut warnings = Vec::new();
    let applied = Owner::of(call).apply(None, patch.configuration(), force);
    let applied = applied.map_err(|error| error.to_status())?;
    patch.check_text(strictness, &mut warnings)?;
    let mut object = applied_object(call, applied.object)?;
    if let Some(uid) = object["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()) {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(Status::conflict(&call.served.group_resource, &call.info.name, why));
    }
    super::create::check_namespace(call, &mut object)?;
    super::update::check_name(call, &object)?;
    let created = call.server.registry.create(call.served, call.namespace(), object, &mut write).await;
    warnings.append(&mut write.warnings);
    let created = created.map_err(|status| status.with_warnings(&mut warnings))?;
    call.answer(StatusCode::CREATED, created, &warnings)
}

/// In a patch a uid is no precondition: it may not change.
fn check_uid(served: &Served, object: &Value, current: &Value) -> Result<(), Status> {
    let (said, is) = (&object["metadata"]["uid"], &current["metadata"]["uid"]);
    if said.is_null() || said == is {
        return Ok(());
    }
    let name = current["metadata"]["name"].as_str().unwrap_or_default();
    // Upstream finds it twice: for all kinds, and for this one.
    let error = FieldError::invalid(Path::new("metadata").child("uid"), said.clone(), IMMUTABLE);
    Err(Status::invalid(&served.group_kind, name, &[error.clone(), error]))
}

const IMMUTABLE: &str = "field is immutable";

fn check_identity(object: &Value, current: &Value) -> Result<(), Status> {
    let text =
        |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_string();
    let (said, is) = (text(object, "name"), text(current, "name"));
    if said.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({is} based on URL) was undeterminable: name must be provided"
        )));
    }
    if said != is {
        return Err(Status::bad_request(format!(
            "the name of the object ({said}) does not match the name on the URL ({is})"
        )));
    }
    if text(object, "namespace") != text(current, "namespace") {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}
