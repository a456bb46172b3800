//! `pods/binding` and `bindings`: a scheduler puts a pod on a node.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use oarlock_api::{FieldError, GroupKind, GroupResource, GroupVersionKind, Path, Status, Table};
use oarlock_apiserver_access::Operation;
use serde_json::{Value, json};

use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Expected, Format};
use crate::encode;
use crate::registry::{admission, stored, time_text};

pub(super) async fn create(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    let accepted = encode::negotiate(call.headers, call.query, false)?;
    let options = options::options(&call, "CreateOptions")?;
    let mut write = call.write(&options);
    let gvk = GroupVersionKind::new("", "v1", "Binding");
    let schema =
        oarlock_api::Schema::Typed(Table::builtin().type_for(&gvk).expect("the table holds Binding"));
    let strictness = options::strictness(&call, "CreateOptions")?;
    let expected = Expected { gvk: &gvk, schema: &schema, custom: None, strictness };
    let mut binding = decode::object(&expected, Format::of_body(call.headers)?, &body, &mut write.warnings)?;
    let said = binding["metadata"]["name"].as_str().unwrap_or_default().to_string();
    let name = if call.info.name.is_empty() { said.clone() } else { call.info.name.clone() };
    if said.is_empty() {
        crate::registry::meta_mut(&mut binding).insert("name".into(), name.clone().into());
    } else if said != name {
        return Err(Status::bad_request(format!(
            "the name in the URL ({name}) does not match the name in the binding ({said})"
        )));
    }
    let namespace = call.info.namespace.as_str();
    crate::registry::meta_mut(&mut binding).insert("namespace".into(), namespace.into());
    validate(&binding, &name)?;
    let place = (namespace, name.as_str());
    let registry = &call.server.registry;
    let mut request = admission(Operation::Create, call.served, &mut write, place, Some(&mut binding), None);
    registry.mutate(&mut request).await?;
    registry.admit(&request).await?;
    if !write.dry_run {
        bind(&call, place, &binding).await?;
    }
    let status =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(encode::object(&accepted, StatusCode::CREATED, &status))
}

fn validate(binding: &Value, name: &str) -> Result<(), Status> {
    let target = &binding["target"];
    let mut errors = Vec::new();
    let kind = target["kind"].as_str().unwrap_or_default();
    if !kind.is_empty() && kind != "Node" {
        let path = Path::new("target").child("kind");
        errors.push(FieldError::not_supported(path, kind, &["Node", "<empty>"]));
    }
    if target["name"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(Path::new("target").child("name"), ""));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(&GroupKind::new("", "Binding"), name, &errors))
    }
}

async fn bind(call: &Call<'_>, place: (&str, &str), binding: &Value) -> Result<(), Status> {
    let pods = GroupResource::new("", "pods");
    let served = call.server.resources.known("", "v1", "pods").expect("pods are built in");
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let name = place.1;
    let bound = call.server.registry.amend(stored(&served)?, place, |pod| {
        let conflict =
            |why: String| Err(Status::conflict(&GroupResource::new("", "pods/binding"), name, why));
        for (field, told) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            let (wanted, is) = (&binding["metadata"][field], &pod["metadata"][field]);
            if wanted.as_str().is_some_and(|w| !w.is_empty()) && wanted != is {
                return conflict(format!(
                    "Precondition failed: {told} in precondition: {}, {told} in object meta: {}",
                    wanted.as_str().unwrap_or_default(),
                    is.as_str().unwrap_or_default()
                ));
            }
        }
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        if let Some(bound) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
            return conflict(format!("pod {name} is already assigned to node {bound:?}"));
        }
        if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        pod["spec"]["nodeName"] = node.into();
        for map in ["annotations", "labels"] {
            for (key, value) in binding["metadata"][map].as_object().into_iter().flatten() {
                pod["metadata"][map][key] = value.clone();
            }
        }
        set_scheduled(pod);
        Ok(())
    });
    bound.await?.map(drop).ok_or_else(|| Status::not_found(&pods, name))
}

fn set_scheduled(pod: &mut Value) {
    let mut condition = json!({
        "type": "PodScheduled", "status": "True", "lastTransitionTime": time_text(Timestamp::now()),
    });
    if let Some(generation) = pod["metadata"]["generation"].as_i64() {
        condition["observedGeneration"] = generation.into();
    }
    let conditions = &mut pod["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let list = conditions.as_array_mut().expect("it was made a list above");
    match list.iter_mut().find(|c| c["type"] == "PodScheduled") {
        Some(there) if there["status"] == "True" => {}
        Some(there) => *there = condition,
        None => list.push(condition),
    }
}
