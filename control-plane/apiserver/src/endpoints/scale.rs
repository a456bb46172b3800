//! `/scale`: the replicas of a workload as an autoscaling/v1 Scale.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::selector::LabelSelector;
use oarlock_api::{FieldError, GroupKind, GroupVersionKind, Path, Schema, Status, Table};
use serde_json::{Value, json};

use super::patch::Patch;
use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Expected, Format, Strictness};
use crate::encode;
use crate::registry::stored;

pub(super) async fn serve(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    match call.info.verb.as_str() {
        "get" => get(&call).await,
        "update" => {
            let options = options::options(&call, "UpdateOptions")?;
            let wanted = read_scale(&call, &body)?;
            let scale: Box<Rescale> = Box::new(move |_| Ok(wanted.clone()));
            write(&call, &options, scale).await
        }
        _ => {
            let options = options::options(&call, "PatchOptions")?;
            let patch = Patch::read(&call, body)?;
            let (gvk, schema) = scale_kind();
            let scale: Box<Rescale> = Box::new(move |current| {
                let patched = patch.apply(current, &schema).map_err(|error| error.to_status())?;
                let expected = Expected { gvk: &gvk, schema: &schema, strictness: Strictness::Ignore };
                decode::tree(&expected, &patched, &mut Vec::new())
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

async fn get(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let (namespace, name) = call.place();
    let found = call.server.registry.get(call.served, namespace, name).await?;
    answer(call, &found.object)
}

fn answer(call: &Call<'_>, object: &Value) -> Result<Response<Body>, Status> {
    let accepted = encode::negotiate(call.headers, call.query, false)?;
    Ok(encode::object(&accepted, StatusCode::OK, &scale_of(object)))
}

fn read_scale(call: &Call<'_>, body: &Bytes) -> Result<Value, Status> {
    let (gvk, schema) = scale_kind();
    let expected =
        Expected { gvk: &gvk, schema: &schema, strictness: options::strictness(call, "UpdateOptions")? };
    let scale = decode::object(&expected, Format::of_body(call.headers)?, body, &mut Vec::new())?;
    super::update::check_name(call, &scale)?;
    Ok(scale)
}

/// What a request makes of the current scale.
type Rescale = dyn Fn(&Value) -> Result<Value, Status> + Send + Sync;

async fn write(call: &Call<'_>, options: &Value, scale: Box<Rescale>) -> Result<Response<Body>, Status> {
    stored(call.served)?;
    let mut write = call.write(options);
    let transform = |current: &Value| {
        let wanted = scale(&scale_of(current))?;
        apply_scale(current, &wanted)
    };
    let registry = &call.server.registry;
    let updated = registry.update(call.served, call.place(), &mut write, None, transform).await?;
    answer(call, &updated.object)
}

/// The workload with the replicas that a scale asks for.
fn apply_scale(current: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let error = FieldError::invalid(path, replicas, "must be greater than or equal to 0");
        let name = scale["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), name, &[error]));
    }
    let mut object = current.clone();
    object["spec"]["replicas"] = replicas.into();
    for field in ["resourceVersion", "uid"] {
        if let Some(value) = scale["metadata"].get(field).filter(|v| *v != "") {
            object["metadata"][field] = value.clone();
        }
    }
    Ok(object)
}

fn scale_of(object: &Value) -> Value {
    let meta = &object["metadata"];
    let mut scale_meta = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = meta.get(field) {
            scale_meta.insert(field.into(), value.clone());
        }
    }
    let mut status = json!({ "replicas": object["status"]["replicas"].as_i64().unwrap_or(0) });
    let selector = selector_text(&object["spec"]["selector"]);
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": scale_meta,
        "spec": { "replicas": object["spec"]["replicas"].as_i64().unwrap_or(0) }, "status": status,
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
