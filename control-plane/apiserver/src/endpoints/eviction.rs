//! `pods/eviction`: a deletion that PodDisruptionBudgets may refuse.

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::selector::LabelSelector;
use oarlock_api::{GroupResource, GroupVersionKind, Status, Table};
use oarlock_apiserver_access::Operation;
use serde_json::{Value, json};

use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Expected, Format};
use crate::encode;
use crate::registry::{DeleteOptions, admission, stored};

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
    let options = DeleteOptions {
        grace: delete["gracePeriodSeconds"].as_i64(),
        propagation: delete["propagationPolicy"].as_str().map(str::to_string),
        uid: delete["preconditions"]["uid"].as_str().map(str::to_string),
        resource_version: delete["preconditions"]["resourceVersion"].as_str().map(str::to_string),
        admitted: true,
    };
    write.dry_run |= delete["dryRun"].as_array().is_some_and(|list| !list.is_empty());
    let pod = registry.get(call.served, namespace, name).await?.object;
    if !may_go_freely(&pod) {
        check_budgets(&call, &pod, write.dry_run).await?;
    }
    // The eviction was admitted; its deletion is not asked about again, as upstream.
    write.subresource = "";
    registry.delete(call.served, place, &options, &mut write).await?;
    let status =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(encode::object(&accepted, StatusCode::CREATED, &status))
}

/// A pod that does not run, or is going already, disrupts nothing.
fn may_go_freely(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Pending" | "Succeeded" | "Failed"))
        || !pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// A pod that is not ready counts for nothing; whether it may go is the budget's policy. (KEP-3017)
fn lets_unready_go(budget: &Value) -> bool {
    let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        || (count("desiredHealthy") > 0 && count("currentHealthy") >= count("desiredHealthy"))
}

async fn check_budgets(call: &Call<'_>, pod: &Value, dry_run: bool) -> Result<(), Status> {
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
    let Some(budget) = matching.first() else { return Ok(()) };
    if !is_ready(pod) && lets_unready_go(budget) {
        return Ok(());
    }
    let served = call.server.resources.known("policy", "v1", "poddisruptionbudgets");
    let served = served.expect("budgets are built in");
    let name = budget["metadata"]["name"].as_str().unwrap_or_default();
    let pod_name = &call.info.name;
    let spend = |budget: &mut Value| {
        let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
        let observed = budget["status"]["observedGeneration"].as_i64().unwrap_or(0);
        if observed < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
            return Err(Status::too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                10,
            )
            .with_cause(
                "DisruptionBudget",
                format!("The disruption budget {name} is still being processed by the server."),
                "",
            ));
        }
        if allowed <= 0 {
            let (needed, healthy) =
                (&budget["status"]["desiredHealthy"], &budget["status"]["currentHealthy"]);
            return Err(Status::too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                0,
            )
            .with_cause(
                "DisruptionBudget",
                format!(
                    "The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
                ),
                "",
            ));
        }
        if !dry_run {
            budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
            let now = crate::registry::time_text(jiff::Timestamp::now());
            budget["status"]["disruptedPods"][pod_name.as_str()] = now.into();
        }
        Ok(())
    };
    call.server.registry.amend(stored(&served)?, (namespace, name), spend).await.map(drop)
}
