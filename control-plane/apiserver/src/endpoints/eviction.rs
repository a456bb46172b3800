//! `pods/eviction`: a deletion that PodDisruptionBudgets may refuse.

mod budget;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use oarlock_api::selector::LabelSelector;
use oarlock_api::{GroupResource, GroupVersionKind, Status, Table};
use oarlock_apiserver_access::Operation;
use serde_json::{Value, json};

use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Expected, Format};
use crate::encode;
use crate::registry::{DeleteOptions, Hand, Write, admission, check_preconditions, stored};

pub(super) async fn create(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    let accepted = encode::negotiate(call.headers, call.query, false)?;
    let sent = options::options(&call, "CreateOptions")?;
    let mut write = call.write(&sent);
    let gvk = GroupVersionKind::new("policy", "v1", "Eviction");
    let schema =
        oarlock_api::Schema::Typed(Table::builtin().type_for(&gvk).expect("the table holds Eviction"));
    let expected = Expected {
        gvk: &gvk,
        schema: &schema,
        custom: None,
        strictness: options::strictness(&call, "CreateOptions")?,
    };
    let mut eviction = decode::object(&expected, Format::of_body(call.headers)?, &body, &mut write.warnings)?;
    let (namespace, name) = call.place();
    let said = eviction["metadata"]["name"].as_str().unwrap_or_default();
    if !said.is_empty() && said != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let place = (namespace, name);
    let registry = &call.server.registry;
    let mut request = admission(Operation::Create, call.served, &mut write, place, Some(&mut eviction), None);
    registry.mutate(&mut request).await?;
    registry.admit(&request).await?;
    let delete = &eviction["deleteOptions"];
    let mut options = DeleteOptions {
        grace: delete["gracePeriodSeconds"].as_i64(),
        propagation: delete["propagationPolicy"].as_str().map(str::to_string),
        uid: delete["preconditions"]["uid"].as_str().map(str::to_string),
        resource_version: delete["preconditions"]["resourceVersion"].as_str().map(str::to_string),
        admitted: true,
    };
    write.dry_run |= delete["dryRun"].as_array().is_some_and(|list| !list.is_empty());
    // The eviction was admitted; its deletion is not asked about again, as upstream.
    write.subresource = "";
    evict(&call, &mut options, &mut write).await?;
    let status =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(encode::object(&accepted, StatusCode::CREATED, &status))
}

/// How often the pod may change between the look at it and its deletion.
const TRIES: usize = 20;

/// Why a pod may go.
enum Leave {
    /// There is nothing that it could disrupt.
    Unguarded,
    /// It does not run yet. That must still be so when it goes.
    Pending,
    /// It is not ready, and this budget does not mind. That must still be so when it goes.
    Unready(String),
    /// A budget was charged.
    Charged,
}

async fn evict(call: &Call<'_>, options: &mut DeleteOptions, write: &mut Write<'_>) -> Result<(), Status> {
    let (place, registry) = (call.place(), &call.server.registry);
    let asked_for = options.resource_version.clone();
    let mut last = Status::modified(&call.served.group_resource, place.1);
    for _ in 0..TRIES {
        let pod = registry.get(call.served, place.0, place.1).await?.object;
        let leave = leave(call, &pod, write.dry_run).await?;
        let pinned = asked_for.is_none() && matches!(leave, Leave::Pending | Leave::Unready(_));
        options.resource_version = if pinned {
            pod["metadata"]["resourceVersion"].as_str().map(str::to_string)
        } else {
            asked_for.clone()
        };
        match (mark_and_delete(call, options, write).await, leave) {
            (Err(error), Leave::Pending) if pinned && error.code == 409 => last = error,
            (Err(error), Leave::Unready(name)) if pinned && error.code == 409 => {
                return Err(budget::behind(&name));
            }
            (done, _) => return done,
        }
    }
    Err(last)
}

/// The pod says why it goes before it goes.
async fn mark_and_delete(
    call: &Call<'_>,
    options: &mut DeleteOptions,
    write: &mut Write<'_>,
) -> Result<(), Status> {
    let (place, registry) = (call.place(), &call.server.registry);
    if !write.dry_run {
        let mark = |pod: &mut Value| {
            check_preconditions(call.served, options, pod, place.1)?;
            budget::mark(pod, Timestamp::now());
            Ok(())
        };
        let marked = registry.amend(stored(call.served)?, place, mark).await?;
        let marked = marked.ok_or_else(|| Status::not_found(&call.served.group_resource, place.1))?;
        if options.resource_version.is_some() {
            options.resource_version = marked["metadata"]["resourceVersion"].as_str().map(str::to_string);
        }
    }
    registry.delete(call.served, place, options, write).await.map(drop)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

async fn leave(call: &Call<'_>, pod: &Value, dry_run: bool) -> Result<Leave, Status> {
    let phase = pod["status"]["phase"].as_str();
    if matches!(phase, Some("Succeeded" | "Failed")) || !pod["metadata"]["deletionTimestamp"].is_null() {
        return Ok(Leave::Unguarded);
    }
    if phase == Some("Pending") {
        return Ok(Leave::Pending);
    }
    let resource = GroupResource::new("policy", "poddisruptionbudgets");
    let namespace = call.namespace();
    let budgets = call.server.objects.list(&resource, namespace);
    let labels = &pod["metadata"]["labels"];
    let matching: Vec<_> = budgets
        .iter()
        .filter(|budget| {
            LabelSelector::from_value(&budget["spec"]["selector"]).is_ok_and(|s| s.matches(labels))
        })
        .collect();
    if matching.len() > 1 {
        return Err(Status::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let Some(found) = matching.first() else { return Ok(Leave::Unguarded) };
    let name = found["metadata"]["name"].as_str().unwrap_or_default();
    if !is_ready(pod) && budget::lets_unready_go(found) {
        return Ok(Leave::Unready(name.to_string()));
    }
    let served = call.server.resources.known("policy", "v1", "poddisruptionbudgets");
    let served = served.expect("budgets are built in");
    let now = Timestamp::now();
    let spend = |found: &mut Value| {
        let mut spent = found.clone();
        budget::spend(&mut spent, &call.info.name, now)?;
        // A dry run asks, and notes nothing.
        if !dry_run {
            *found = spent;
        }
        Ok(())
    };
    call.server.registry.amend_as(stored(&served)?, (namespace, name), Hand::STATUS, spend).await?;
    Ok(Leave::Charged)
}
