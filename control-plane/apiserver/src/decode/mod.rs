//! From bytes to objects: media types, sizes, field validation, and what the store holds. Next: `registry`.

mod body;
mod media;

pub(crate) use body::read_body;
pub(crate) use media::{Format, content_type};

use bytes::Bytes;
use oarlock_api::codec::{DecodeError, Decoded, json, protobuf, yaml};
use oarlock_api::gvk::split_api_version;
use oarlock_api::{FieldError, GroupKind, GroupVersionKind, Path, Schema, Status, Table};
use serde_json::Value;

use crate::registry::{Custom, Storage, set_revision};

/// An object as the store holds it, with its revision as resourceVersion. What another server wrote in another version
/// of the same kind is brought into ours.
pub(crate) fn stored(storage: &Storage, bytes: &[u8], revision: u64) -> Result<Value, DecodeError> {
    let table = Table::builtin();
    if let Some(mut object) = kept_definition(storage, bytes)? {
        set_revision(&mut object, revision);
        return Ok(object);
    }
    let mut object = if protobuf::is_envelope(bytes) {
        protobuf::decode_object(table, bytes)?.1
    } else {
        json_as(&storage.schema, bytes)?.value
    };
    if storage.custom.is_none() && !is_of(&object, &storage.gvk) {
        let written = oarlock_api::meta::gvk(&object);
        if !protobuf::is_envelope(bytes)
            && let Some(ty) = table.type_for(&written)
        {
            object = json::decode(table, ty, bytes)?.value;
        }
        oarlock_api::conversion::convert(&written, &storage.gvk, &mut object);
    }
    // What another server wrote may lack what is defaulted today.
    if let (Schema::Typed(ty), true) = (&storage.schema, protobuf::is_envelope(bytes)) {
        oarlock_api::defaults::apply_defaults_as(*ty, &mut object);
    }
    if let Some(custom) = &storage.custom {
        let (_, version) = split_api_version(object["apiVersion"].as_str().unwrap_or_default());
        custom.resource.version(version).unwrap_or(&custom.version).clone().from_store(&mut object);
    }
    set_revision(&mut object, revision);
    Ok(object)
}

fn is_of(object: &Value, gvk: &GroupVersionKind) -> bool {
    let (group, version) = split_api_version(oarlock_api::meta::api_version(object));
    group == &*gvk.group && version == &*gvk.version && oarlock_api::meta::kind(object) == &*gvk.kind
}

/// A definition in the form that upstream keeps.
fn kept_definition(storage: &Storage, bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
    if storage.api.group != "apiextensions.k8s.io" {
        return Ok(None);
    }
    let mut tree = json::decode_untyped(bytes)?.value;
    if !oarlock_api::conversion::is_kept_definition(&tree) {
        return Ok(None);
    }
    oarlock_api::conversion::definition_from_kept(&mut tree);
    tree_as(&storage.schema, tree).map(|decoded| Some(decoded.value))
}

/// An object of a shape from JSON.
fn json_as(schema: &Schema, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    match schema {
        Schema::Typed(ty) => json::decode(Table::builtin(), *ty, bytes),
        Schema::Structural(_) | Schema::Deduced => json::decode_untyped(bytes),
    }
}

/// An object of a shape from a tree.
fn tree_as(schema: &Schema, tree: Value) -> Result<Decoded, DecodeError> {
    match schema {
        Schema::Typed(ty) => json::decode_tree(Table::builtin(), *ty, tree),
        Schema::Structural(_) | Schema::Deduced => Ok(Decoded { value: tree, strict: Vec::new() }),
    }
}

/// `fieldValidation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// What a body is expected to be.
pub(crate) struct Expected<'a> {
    pub(crate) gvk: &'a GroupVersionKind,
    pub(crate) schema: &'a Schema,
    /// What a custom resource's objects go through.
    pub(crate) custom: Option<&'a Custom>,
    pub(crate) strictness: Strictness,
}

/// Reads the object of a request. What a lenient reader overlooked is pushed to `warnings`.
pub(crate) fn object(
    expected: &Expected<'_>,
    format: Format,
    bytes: &Bytes,
    warnings: &mut Vec<String>,
) -> Result<Value, Status> {
    let unrecognised = |error: DecodeError| {
        let (kind, shown) = (&expected.gvk.kind, summary(bytes));
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {error} ({shown})"
        ))
    };
    let (decoded, meta) = match format {
        Format::Protobuf => {
            let unknown = protobuf::unwrap(bytes).map_err(unrecognised)?;
            let meta =
                json::TypeMeta { api_version: unknown.api_version.clone(), kind: unknown.kind.clone() };
            check_version(expected, &meta)?;
            let Schema::Typed(ty) = expected.schema else { return Err(Format::no_protobuf()) };
            let value = protobuf::decode(Table::builtin(), *ty, unknown.raw);
            (value.map(|value| Decoded { value, strict: Vec::new() }), meta)
        }
        Format::Json => {
            let meta = json::type_meta(bytes).map_err(unrecognised)?;
            check_version(expected, &meta)?;
            let bytes: &[u8] = if bytes.trim_ascii() == b"null" { b"{}" } else { bytes };
            (json_as(expected.schema, bytes), meta)
        }
        Format::Yaml => {
            let (mut tree, duplicate) = yaml::parse_lenient(bytes).map_err(unrecognised)?;
            if !tree.is_object() {
                json::type_meta(tree.to_string().as_bytes()).map_err(unrecognised)?;
                tree = Value::Object(serde_json::Map::new());
            }
            let text = |field: &str| tree[field].as_str().unwrap_or_default().to_string();
            let meta = json::TypeMeta { api_version: text("apiVersion"), kind: text("kind") };
            check_version(expected, &meta)?;
            let mut decoded = tree_as(expected.schema, tree);
            if let Ok(decoded) = &mut decoded {
                decoded.strict.splice(0..0, duplicate);
            }
            (decoded, meta)
        }
    };
    let cannot = |why: &dyn std::fmt::Display| {
        let (_, version) = split_api_version(&meta.api_version);
        let version = if version.is_empty() { &expected.gvk.version } else { version };
        let kind = if meta.kind.is_empty() { &expected.gvk.kind } else { meta.kind.as_str() };
        let wanted = &expected.gvk.kind;
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {wanted}: {why}"))
    };
    let mut decoded = decoded.map_err(|error| cannot(&error))?;
    if let Some(custom) = expected.custom {
        take_in(custom, &mut decoded)?;
    }
    match (expected.strictness, decoded.strict_error()) {
        (Strictness::Strict, Some(error)) => return Err(cannot(&error)),
        (Strictness::Warn, Some(_)) => {
            warnings.extend(decoded.strict.iter().map(|strict| yaml::warning(strict).to_string()));
        }
        _ => {}
    }
    let mut value = decoded.value;
    value["apiVersion"] = expected.gvk.api_version().into();
    value["kind"] = (*expected.gvk.kind).into();
    Ok(value)
}

/// Prunes and defaults an object of a custom resource.
fn take_in(custom: &Custom, decoded: &mut Decoded) -> Result<(), Status> {
    let unknown = custom.version.intake(&mut decoded.value).map_err(|error| error.status())?;
    decoded.strict.extend(unknown);
    Ok(())
}

/// A tree made by a patch, as an object of its type; `shown` is what a refusal tells of it.
pub(crate) fn tree(
    expected: &Expected<'_>,
    tree: Value,
    shown: &dyn Fn(&Value) -> String,
    warnings: &mut Vec<String>,
) -> Result<Value, Status> {
    // Nothing can be said of a tree that is in normal form.
    let (tree, decoded) = match expected.schema {
        Schema::Typed(ty) if json::is_normal(Table::builtin(), *ty, &tree) => {
            (Value::Null, Ok(Decoded { value: tree, strict: Vec::new() }))
        }
        Schema::Typed(ty) => {
            let decoded = json::decode_value(Table::builtin(), *ty, &tree);
            (tree, decoded)
        }
        Schema::Structural(_) | Schema::Deduced => {
            let decoded = Decoded { value: tree.clone(), strict: Vec::new() };
            (tree, Ok(decoded))
        }
    };
    let unfit = |why: String| {
        let error = FieldError::invalid(Path::new("patch"), shown(&tree), why);
        Status::invalid(&GroupKind::new("", ""), "", &[error])
    };
    let mut decoded = decoded.map_err(|error| unfit(error.to_string()))?;
    if let Some(custom) = expected.custom {
        take_in(custom, &mut decoded)?;
    }
    match expected.strictness {
        Strictness::Strict if !decoded.strict.is_empty() => {
            return Err(unfit(decoded.strict_error().unwrap_or_default()));
        }
        Strictness::Warn => warnings.extend(decoded.strict),
        _ => {}
    }
    let mut value = decoded.value;
    if !is_of(&value, expected.gvk) {
        oarlock_api::meta::set_gvk(&mut value, expected.gvk);
    }
    Ok(value)
}

/// A patch may not make an object one of another kind or version.
pub(crate) fn check_tree_version(
    expected: &Expected<'_>,
    tree: &Value,
    shown: &dyn Fn(&Value) -> String,
) -> Result<(), Status> {
    let text = |field: &str| tree[field].as_str().unwrap_or_default().to_string();
    let meta = json::TypeMeta { api_version: text("apiVersion"), kind: text("kind") };
    let Err(status) = check_version(expected, &meta) else { return Ok(()) };
    let why =
        status.message.split_once(" cannot be handled as a ").and_then(|(_, rest)| rest.split_once(": "));
    let why = why.map_or(status.message.as_str(), |(_, why)| why).to_string();
    let error = FieldError::invalid(Path::new("patch"), shown(tree), why);
    Err(Status::invalid(&GroupKind::new("", ""), "", &[error]))
}

fn check_version(expected: &Expected<'_>, meta: &json::TypeMeta) -> Result<(), Status> {
    let wanted = &expected.gvk;
    let wanted_version = wanted.api_version();
    let api_version = if meta.api_version.is_empty() { &wanted_version } else { &meta.api_version };
    let kind = if meta.kind.is_empty() { &*wanted.kind } else { meta.kind.as_str() };
    if *api_version == wanted_version && kind == &*wanted.kind {
        return Ok(());
    }
    let (group, version) = split_api_version(api_version);
    let cannot = |why: String| {
        let told = format!("{kind} in version {version:?} cannot be handled as a {}: {why}", wanted.kind);
        Err(Status::bad_request(told))
    };
    if Table::builtin().type_of(group, version, kind).is_none() {
        return cannot(format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme {SCHEME:?}"
        ));
    }
    if group != &*wanted.group || kind != &*wanted.kind {
        let package = internal_package(&wanted.group);
        let wanted = &wanted.kind;
        return cannot(format!("converting ({version}.{kind}) to ({package}.{wanted}): unknown conversion"));
    }
    Err(Status::bad_request(format!(
        "the API version in the data ({api_version}) does not match the expected API version ({wanted_version})"
    )))
}

/// How upstream's messages call the place where its types are registered.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";

/// How upstream's messages call the unversioned types of a group.
pub(crate) fn internal_package(group: &str) -> &str {
    if matches!(group, "" | "events.k8s.io") { "core" } else { group.split('.').next().unwrap_or_default() }
}

const SUMMARY: usize = 30;

fn summary(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SUMMARY)];
    let text = match shown.first() {
        None => return "<empty>".into(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => hex::encode(shown),
    };
    if bytes.len() > SUMMARY { format!("{text} ...") } else { text }
}

/// Fills in the defaults of an object in its served version, and brings it into the form that all versions share.
pub(crate) fn default(served: &crate::registry::Served, object: &mut Value) {
    if let Schema::Typed(ty) = served.shape {
        oarlock_api::defaults::apply_defaults_as(ty, object);
    }
    if let Some(form) = served.form {
        form.apply(object);
    }
}
