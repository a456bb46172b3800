//! Options of requests: dryRun, fieldValidation, fieldManager, deletion.

use bytes::Bytes;
use oarlock_api::codec::{json, protobuf};
use oarlock_api::{FieldError, GroupKind, Path, Status, Table};
use serde_json::{Map, Value};

use super::Call;
use crate::decode::{Format, Strictness};
use crate::registry::{DeleteOptions, Write};

/// `fieldValidation`; what a client does not say is Warn, as upstream.
pub(super) fn strictness(call: &Call<'_>, kind: &str) -> Result<Strictness, Status> {
    match call.query.get("fieldValidation") {
        None | Some("" | "Warn") => Ok(Strictness::Warn),
        Some("Strict") => Ok(Strictness::Strict),
        Some("Ignore") => Ok(Strictness::Ignore),
        Some(other) => {
            let supported = ["", "Ignore", "Strict", "Warn"];
            Err(invalid(kind, FieldError::not_supported(Path::new("fieldValidation"), other, &supported)))
        }
    }
}

/// CreateOptions or UpdateOptions from the query.
pub(super) fn options(call: &Call<'_>, kind: &str) -> Result<Value, Status> {
    checked_options(call, kind, Vec::new())
}

/// PatchOptions from the query: an apply must say whose it is, and only an apply may be forced.
pub(super) fn patch_options(call: &Call<'_>, is_apply: bool) -> Result<Value, Status> {
    let mut errors = Vec::new();
    if is_apply && call.query.get("fieldManager").is_none_or(str::is_empty) {
        errors.push(FieldError::required(Path::new("fieldManager"), "is required for apply patch"));
    }
    if !is_apply && call.query.get("force").is_some() {
        let why = "may not be specified for non-apply patch";
        errors.push(FieldError::forbidden(Path::new("force"), why));
    }
    checked_options(call, "PatchOptions", errors)
}

fn checked_options(call: &Call<'_>, kind: &str, mut errors: Vec<FieldError>) -> Result<Value, Status> {
    let mut options = Map::new();
    options.insert("kind".into(), kind.into());
    options.insert("apiVersion".into(), "meta.k8s.io/v1".into());
    let dry_run: Vec<Value> = call.query.all("dryRun").map(Value::from).collect();
    errors.extend(manager_fault(call.query.get("fieldManager").unwrap_or_default()));
    errors.extend(dry_run_fault(&dry_run));
    if !errors.is_empty() {
        return Err(Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", &errors));
    }
    if !dry_run.is_empty() {
        options.insert("dryRun".into(), dry_run.into());
    }
    for field in ["fieldManager", "fieldValidation"] {
        if let Some(value) = call.query.get(field) {
            options.insert(field.into(), value.into());
        }
    }
    Ok(options.into())
}

const MANAGER_MAX: usize = 128;

fn manager_fault(manager: &str) -> Option<FieldError> {
    let path = Path::new("fieldManager");
    if manager.len() > MANAGER_MAX {
        return Some(FieldError::too_long(path, MANAGER_MAX));
    }
    let (at, odd) = manager.char_indices().find(|(_, c)| c.is_control())?;
    let why = format!("invalid character U+{:04X} (at position {at})", u32::from(odd));
    Some(FieldError::invalid(path, manager, why))
}

/// The only dry run there is runs all stages.
fn dry_run_fault(values: &[Value]) -> Option<FieldError> {
    let good = values.iter().all(|value| value == "All");
    (!good).then(|| FieldError::not_supported(Path::new("dryRun"), values.to_vec(), &["All"]))
}

fn invalid(kind: &str, error: FieldError) -> Status {
    Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", &[error])
}

impl<'a> Call<'a> {
    pub(super) fn write<'w>(&'w self, options: &'w Value) -> Write<'w> {
        Write {
            user: self.user,
            subresource: &self.info.subresource,
            dry_run: options["dryRun"].as_array().is_some_and(|list| !list.is_empty()),
            options,
            warnings: Vec::new(),
            annotations: self.annotations,
        }
    }
}

/// DeleteOptions from the body, or from the query where there is no body; as sent, and as the registry reads them.
pub(super) fn delete_options(call: &Call<'_>, body: &Bytes) -> Result<(Value, DeleteOptions), Status> {
    let mut sent = if body.is_empty() { from_query(call)? } else { from_body(call, body)? };
    let dry_run: Vec<Value> = sent["dryRun"].as_array().cloned().unwrap_or_default();
    if let Some(error) = dry_run_fault(&dry_run) {
        return Err(invalid("DeleteOptions", error));
    }
    let propagation = sent["propagationPolicy"].as_str().map(str::to_string);
    if let Some(policy) =
        propagation.as_deref().filter(|p| !matches!(*p, "Orphan" | "Background" | "Foreground"))
    {
        let supported = ["Foreground", "Background", "Orphan", "nil"];
        let error = FieldError::not_supported(Path::new("propagationPolicy"), policy, &supported);
        return Err(invalid("DeleteOptions", error));
    }
    let orphan =
        sent["orphanDependents"].as_bool().map(|orphan| if orphan { "Orphan" } else { "Background" });
    if orphan.is_some() && propagation.is_some() {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        return Err(invalid(
            "DeleteOptions",
            FieldError::invalid(Path::new("propagationPolicy"), sent["propagationPolicy"].take(), why),
        ));
    }
    let options = DeleteOptions {
        grace: sent["gracePeriodSeconds"].as_i64(),
        propagation: propagation.or_else(|| orphan.map(str::to_string)),
        uid: sent["preconditions"]["uid"].as_str().map(str::to_string),
        resource_version: sent["preconditions"]["resourceVersion"].as_str().map(str::to_string),
        admitted: false,
    };
    Ok((sent, options))
}

/// How upstream's messages call the place where its types of options are registered.
const OPTIONS_SCHEME: &str = "pkg/apis/meta/internalversion/scheme/register.go:27";

fn from_body(call: &Call<'_>, body: &Bytes) -> Result<Value, Status> {
    let table = Table::builtin();
    let ty = table
        .type_of("", "v1", "DeleteOptions")
        .or_else(|| table.type_named("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    let ty = ty.expect("the table holds DeleteOptions");
    let bad = |error: oarlock_api::codec::DecodeError| Status::bad_request(error.to_string());
    match Format::of_body(call.headers)? {
        Format::Protobuf => {
            let unknown = protobuf::unwrap(body).map_err(bad)?;
            protobuf::decode(table, ty, unknown.raw).map_err(bad)
        }
        Format::Json => {
            let meta = json::type_meta(body).map_err(bad)?;
            if !meta.kind.is_empty() && meta.kind != "DeleteOptions" {
                let (kind, version) = (&meta.kind, &meta.api_version);
                return Err(Status::bad_request(format!(
                    "no kind {kind:?} is registered for version {version:?} in scheme {OPTIONS_SCHEME:?}"
                )));
            }
            Ok(json::decode(table, ty, body).map_err(bad)?.value)
        }
        Format::Yaml => Ok(oarlock_api::codec::yaml::decode(table, ty, body).map_err(bad)?.value),
    }
}

fn from_query(call: &Call<'_>) -> Result<Value, Status> {
    let mut options = Map::new();
    if let Some(text) = call.query.get("gracePeriodSeconds") {
        let grace = text.parse::<i64>().map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
        })?;
        options.insert("gracePeriodSeconds".into(), grace.into());
    }
    if let Some(policy) = call.query.get("propagationPolicy") {
        options.insert("propagationPolicy".into(), policy.into());
    }
    if call.query.get("orphanDependents").is_some() {
        options.insert("orphanDependents".into(), call.query.flag("orphanDependents").into());
    }
    let dry_run: Vec<Value> = call.query.all("dryRun").map(Value::from).collect();
    if !dry_run.is_empty() {
        options.insert("dryRun".into(), dry_run.into());
    }
    Ok(options.into())
}
