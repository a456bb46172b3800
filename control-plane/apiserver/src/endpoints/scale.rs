//! `/scale`: the replicas of an object as an autoscaling/v1 Scale.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::apply::{ManagedError, parent_entries, scale_entries};
use oarlock_api::selector::LabelSelector;
use oarlock_api::{FieldError, GroupKind, GroupVersionKind, Path, Schema, Status, Table};
use oarlock_apiserver_custom::Scale;
use serde_json::{Map, Value, json};

use super::ownership::Owner;
use super::patch::Patch;
use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Expected, Format, Strictness};
use crate::encode;
use crate::registry::{ScalePaths, meta_mut, stored};

pub(super) async fn serve(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    let owner = Owner::of(&call);
    let (gvk, schema) = scale_kind();
    match call.info.verb.as_str() {
        "get" => get(&call).await,
        "update" => {
            let options = options::options(&call, "UpdateOptions")?;
            let wanted = read_scale(&call, &body)?;
            let scale: Box<Rescale<'_>> = Box::new(|current| {
                let mut wanted = wanted.clone();
                owner.track_scale(&schema, current, &mut wanted);
                Ok(wanted)
            });
            write(&call, &options, scale).await
        }
        _ => {
            let (patch, options) = Patch::read(&call, body)?;
            let force = call.query.flag("force");
            let scale: Box<Rescale<'_>> = Box::new(|current| {
                let expected =
                    Expected { gvk: &gvk, schema: &schema, custom: None, strictness: Strictness::Ignore };
                if patch.is_apply() {
                    let applied = owner.apply_scale(&schema, current, patch.configuration(), force);
                    let applied = applied.map_err(|error| error.to_status())?;
                    return decode::tree(&expected, applied.object, &Value::to_string, &mut Vec::new());
                }
                let patched = patch.apply(current, &schema).map_err(|error| error.to_status())?;
                let mut wanted = decode::tree(&expected, patched, &Value::to_string, &mut Vec::new())?;
                owner.track_scale(&schema, current, &mut wanted);
                Ok(wanted)
            });
            write(&call, &options, scale).await
        }
    }
}

fn scale_kind() -> (GroupVersionKind, Schema) {
    let gvk = GroupVersionKind::new("autoscaling", "v1", "Scale");
    let ty = Table::builtin().type_for(&gvk).expect("the table holds Scale");
    (gvk, Schema::Typed(ty))
}

fn replicas_path(scale: Option<&Scale>) -> Option<Vec<String>> {
    let path = scale?.spec_replicas.trim_start_matches('.');
    Some(path.split('.').map(str::to_string).collect())
}

/// Where the replicas are in the version that is asked for.
fn paths<'a>(call: &'a Call<'_>) -> Result<&'a ScalePaths, Status> {
    call.served.scale.as_ref().ok_or_else(super::not_allowed)
}

/// Where they are in every version, served or not, for those who own them there.
struct AllPaths(Vec<(String, Option<Vec<String>>)>);

impl AllPaths {
    fn of(call: &Call<'_>) -> Self {
        if let Some(custom) = &call.served.custom {
            let all = custom.resource.versions.iter();
            return Self(
                all.map(|version| (version.api_version.clone(), replicas_path(version.scale.as_ref())))
                    .collect(),
            );
        }
        let now = call.server.resources.now();
        let same = now.served().iter().filter(|served| served.group_resource == call.served.group_resource);
        let path =
            |served: &crate::registry::Served| served.scale.as_ref().map(|scale| scale.replicas.clone());
        Self(same.map(|served| (served.gvk.api_version(), path(served))).collect())
    }

    fn with<T>(&self, ask: impl FnOnce(&[(&str, Option<&[&str]>)]) -> T) -> T {
        let parts: Vec<Option<Vec<&str>>> = self
            .0
            .iter()
            .map(|(_, path)| path.as_ref().map(|path| path.iter().map(String::as_str).collect()))
            .collect();
        let all: Vec<(&str, Option<&[&str]>)> = self
            .0
            .iter()
            .zip(&parts)
            .map(|((version, _), path)| (version.as_str(), path.as_deref()))
            .collect();
        ask(&all)
    }
}

async fn get(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let (namespace, name) = call.place();
    let found = call.server.registry.get(call.served, namespace, name).await?;
    match custom_scale(call) {
        None => answer(call, &found.object),
        Some(custom) => {
            let accepted = encode::negotiate(call.headers, call.query, false)?;
            Ok(encode::object(&accepted, StatusCode::OK, &custom.get(&found.object)?))
        }
    }
}

fn answer(call: &Call<'_>, object: &Value) -> Result<Response<Body>, Status> {
    let accepted = encode::negotiate(call.headers, call.query, false)?;
    let scale = match custom_scale(call) {
        Some(custom) => custom.of(object).map_err(Status::bad_request)?.0,
        None => scale_of(paths(call)?, object),
    };
    Ok(encode::object(&accepted, StatusCode::OK, &scale))
}

/// What a custom resource keeps as a Scale.
fn custom_scale<'a>(call: &'a Call<'_>) -> Option<&'a Scale> {
    call.served.custom.as_ref()?.version.scale.as_ref()
}

/// The Scale that a change begins with: its owners are in it. Replicas that a custom resource does not say are told
/// apart from every number that can be meant.
fn current_scale(call: &Call<'_>, all: &AllPaths, object: &Value) -> Result<Value, Status> {
    let mut scale = match custom_scale(call) {
        None => scale_of(paths(call)?, object),
        Some(custom) => {
            let (mut scale, said) = custom.of(object).map_err(|why| Status::new(500, "", why))?;
            if !said {
                scale["spec"]["replicas"] = UNSAID.into();
            }
            scale
        }
    };
    let owners = all.with(|all| scale_entries(&entries(object), all)).unwrap_or_default();
    if !owners.is_empty() {
        meta_mut(&mut scale).insert("managedFields".into(), owners.into());
    }
    Ok(scale)
}

const UNSAID: i32 = i32::MIN;

fn read_scale(call: &Call<'_>, body: &Bytes) -> Result<Value, Status> {
    let (gvk, schema) = scale_kind();
    let expected = Expected {
        gvk: &gvk,
        schema: &schema,
        custom: None,
        strictness: options::strictness(call, "UpdateOptions")?,
    };
    let scale = decode::object(&expected, Format::of_body(call.headers)?, body, &mut Vec::new())?;
    super::update::check_name(call, &scale)?;
    Ok(scale)
}

/// What a request makes of the current scale.
type Rescale<'a> = dyn Fn(&Value) -> Result<Value, Status> + Send + Sync + 'a;

async fn write(call: &Call<'_>, options: &Value, scale: Box<Rescale<'_>>) -> Result<Response<Body>, Status> {
    stored(call.served)?;
    let (paths, all) = (paths(call)?, AllPaths::of(call));
    let api_version = call.served.gvk.api_version();
    let mut write = call.write(options);
    let transform = |current: &Value| {
        let wanted = scale(&current_scale(call, &all, current)?)?;
        if custom_scale(call).is_some() && wanted["spec"]["replicas"] == UNSAID {
            let path = paths.replicas.join(".");
            return Err(Status::bad_request(format!("the spec replicas field \".{path}\" cannot be empty")));
        }
        let mut object = apply_scale(paths, current, &wanted)?;
        let (of_object, of_scale) = (entries(current), entries(&wanted));
        let owners = all.with(|all| parent_entries(&of_object, &of_scale, &api_version, all));
        take_owners(&mut object, owners);
        Ok(object)
    };
    let registry = &call.server.registry;
    let updated = registry.update(call.served, call.place(), &mut write, None, transform).await?;
    answer(call, &updated.written.into_tree())
}

fn entries(object: &Value) -> Vec<Value> {
    object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default()
}

/// Owners that cannot be read are left as they are.
fn take_owners(object: &mut Value, owners: Result<Vec<Value>, ManagedError>) {
    if let Ok(owners) = owners {
        let meta = meta_mut(object);
        if owners.is_empty() {
            meta.remove("managedFields");
        } else {
            meta.insert("managedFields".into(), owners.into());
        }
    }
}

/// The object with the replicas that a scale asks for.
fn apply_scale(paths: &ScalePaths, current: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let error = FieldError::invalid(path, replicas, "must be greater than or equal to 0");
        let name = scale["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), name, &[error]));
    }
    let mut object = current.clone();
    set_at(&mut object, &paths.replicas, replicas.into());
    for field in ["resourceVersion", "uid"] {
        if let Some(value) = scale["metadata"].get(field).filter(|v| *v != "") {
            object["metadata"][field] = value.clone();
        }
    }
    Ok(object)
}

fn at<'v>(object: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, part| value.get(part))
}

fn set_at(object: &mut Value, path: &[String], value: Value) {
    let mut slot = object;
    for part in path {
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        slot = &mut slot[part.as_str()];
    }
    *slot = value;
}

fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let meta = &object["metadata"];
    let mut scale_meta = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = meta.get(field) {
            scale_meta.insert(field.into(), value.clone());
        }
    }
    let count = |path: &[String]| at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut status = json!({ "replicas": count(&paths.status_replicas) });
    let selector = selector_text(&object["spec"]["selector"]);
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": scale_meta,
        "spec": { "replicas": count(&paths.replicas) }, "status": status,
    })
}

/// A label selector as text; a replication controller's is a plain map.
fn selector_text(selector: &Value) -> String {
    let structured = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    if structured {
        return LabelSelector::from_value(selector).map(|s| s.to_string()).unwrap_or_default();
    }
    let pairs: BTreeMap<&str, &str> = selector
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
