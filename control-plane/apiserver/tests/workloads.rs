//! Subresources and what the server gives to services, tokens and namespaces.

mod common;

use http::Method;
use serde_json::{Value, json};

use common::start;

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], "automountServiceAccountToken": false},
    })
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "busybox"}]},
            },
        },
        "status": {"replicas": 9},
    })
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

#[tokio::test]
async fn status_and_scale_change_their_part_only() {
    let server = start().await;
    let (code, made) = server.ask(Method::POST, DEPLOYMENTS, deployment()).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["status"].get("replicas"), None, "a client does not set the status");
    assert_eq!(made["spec"]["strategy"]["type"], "RollingUpdate", "defaults are filled in");
    let mut status = made.clone();
    status["status"] = json!({"replicas": 2});
    status["spec"]["replicas"] = 7.into();
    let (code, put) = server.ask(Method::PUT, &format!("{DEPLOYMENTS}/web/status"), status).await;
    assert_eq!(
        (code, &put["status"]["replicas"], &put["spec"]["replicas"]),
        (200, &json!(2), &json!(2)),
        "{put}"
    );
    let (code, scale) = server.get(&format!("{DEPLOYMENTS}/web/scale")).await;
    assert_eq!(
        (code, &scale["kind"], &scale["status"]["selector"]),
        (200, &json!("Scale"), &json!("app=web"))
    );
    let mut wanted = scale.clone();
    wanted["spec"]["replicas"] = 5.into();
    let (code, scaled) = server.ask(Method::PUT, &format!("{DEPLOYMENTS}/web/scale"), wanted).await;
    assert_eq!((code, &scaled["spec"]["replicas"]), (200, &json!(5)), "{scaled}");
    let headers = [("content-type", "application/merge-patch+json")];
    let body = json!({"spec": {"replicas": 3}}).to_string().into_bytes();
    let (code, scaled) =
        server.ask_with(Method::PATCH, &format!("{DEPLOYMENTS}/web/scale"), &headers, body).await;
    assert_eq!((code, &scaled["spec"]["replicas"]), (200, &json!(3)), "{scaled}");
    let (_, got) = server.get(&format!("{DEPLOYMENTS}/web")).await;
    assert_eq!((&got["spec"]["replicas"], &got["status"]["replicas"]), (&json!(3), &json!(2)));
    server.stop().await;
}

#[tokio::test]
async fn pods_are_bound_once_and_go_through_eviction() {
    let server = start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    assert_eq!(server.ask(Method::POST, "/api/v1/namespaces/default/serviceaccounts", account).await.0, 201);
    let pods = "/api/v1/namespaces/default/pods";
    let (code, made) = server.ask(Method::POST, pods, pod("p")).await;
    assert_eq!(code, 201, "{made}");
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"},
    });
    let (code, bound) = server.ask(Method::POST, &format!("{pods}/p/binding"), binding.clone()).await;
    assert_eq!(code, 201, "{bound}");
    let (_, got) = server.get(&format!("{pods}/p")).await;
    assert_eq!(got["spec"]["nodeName"], "n1");
    assert!(
        got["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "PodScheduled"))
    );
    let (code, again) = server.ask(Method::POST, &format!("{pods}/p/binding"), binding).await;
    assert_eq!(code, 409, "{again}");
    assert_eq!(
        again["message"],
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
    );
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"},
        "deleteOptions": {"gracePeriodSeconds": 0},
    });
    let (code, evicted) = server.ask(Method::POST, &format!("{pods}/p/eviction"), eviction).await;
    assert_eq!(code, 201, "{evicted}");
    let (code, log) = server.get(&format!("{pods}/missing/log")).await;
    assert_eq!((code, log["reason"].as_str()), (404, Some("NotFound")));
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_issued_and_believed() {
    let server = start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    assert_eq!(server.ask(Method::POST, accounts, account).await.0, 201);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let (code, issued) = server.ask(Method::POST, &format!("{accounts}/robot/token"), request).await;
    assert_eq!(code, 201, "{issued}");
    let bearer = format!("Bearer {}", issued["status"]["token"].as_str().expect("a token"));
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = server.over_tls(None, Method::POST, path, &headers, review.into_bytes()).await;
    let told: Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(told["status"]["userInfo"]["username"], "system:serviceaccount:default:robot", "{told}");
    server.stop().await;
}

#[tokio::test]
async fn a_namespace_ends_in_two_steps() {
    let server = start().await;
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let (code, made) = server.ask(Method::POST, "/api/v1/namespaces", object).await;
    assert_eq!(code, 201, "{made}");
    let mut held = made.clone();
    held["spec"]["finalizers"] = json!(["kubernetes"]);
    let (code, held) = server.ask(Method::PUT, "/api/v1/namespaces/n/finalize", held).await;
    assert_eq!((code, &held["spec"]["finalizers"]), (200, &json!(["kubernetes"])), "{held}");
    let (code, marked) = server.ask(Method::DELETE, "/api/v1/namespaces/n", json!({})).await;
    assert_eq!((code, &marked["status"]["phase"]), (200, &json!("Terminating")), "{marked}");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}});
    let (code, refused) = server.ask(Method::POST, "/api/v1/namespaces/n/configmaps", map).await;
    assert_eq!((code, refused["reason"].as_str()), (403, Some("Forbidden")));
    let mut freed = marked.clone();
    freed["spec"]["finalizers"] = json!([]);
    assert_eq!(server.ask(Method::PUT, "/api/v1/namespaces/n/finalize", freed).await.0, 200);
    assert_eq!(server.get("/api/v1/namespaces/n").await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn services_get_addresses_and_events_are_one_kind_in_two_groups() {
    let server = start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "ports": [{"port": 80}], "clusterIP": "10.96.0.77"},
    });
    let (code, made) = server.ask(Method::POST, services, service.clone()).await;
    assert_eq!((code, &made["spec"]["clusterIPs"]), (201, &json!(["10.96.0.77"])), "{made}");
    assert!(made["spec"]["ports"][0]["nodePort"].as_u64().is_some_and(|port| port >= 30000));
    let mut second = service;
    second["metadata"]["name"] = "other".into();
    let (code, refused) = server.ask(Method::POST, services, second.clone()).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"].as_str().is_some_and(|m| m.ends_with("provided IP is already allocated")),
        "{refused}"
    );
    assert_eq!(server.ask(Method::DELETE, &format!("{services}/web"), json!({})).await.0, 200);
    assert_eq!(server.ask(Method::POST, services, second).await.0, 201, "the address is free again");

    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Tested", "message": "so",
        "type": "Normal", "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
    });
    let (code, made) = server.ask(Method::POST, "/api/v1/namespaces/default/events", event).await;
    assert_eq!(code, 201, "{made}");
    let (code, other) = server.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await;
    assert_eq!(
        (code, &other["note"], &other["regarding"]["name"]),
        (200, &json!("so"), &json!("p")),
        "{other}"
    );
    server.stop().await;
}

#[tokio::test]
async fn every_stored_resource_lists() {
    let server = start().await;
    for resource in oarlock_api::Table::builtin().resources() {
        if !resource.served_by_default || !resource.has_verb("list") {
            continue;
        }
        let root =
            if resource.group.is_empty() { "/api".into() } else { format!("/apis/{}", resource.group) };
        let path = format!("{root}/{}/{}", resource.version, resource.plural);
        let (code, list) = server.get(&path).await;
        assert_eq!(
            (code, list["kind"].as_str()),
            (200, Some(format!("{}List", resource.kind).as_str())),
            "{path}"
        );
    }
    server.stop().await;
}

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn budgets_refuse_evictions() {
    let server = start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    assert_eq!(server.ask(Method::POST, "/api/v1/namespaces/default/serviceaccounts", account).await.0, 201);
    let mut made = pod("p");
    made["metadata"]["labels"] = json!({"app": "x"});
    let (_, mut made) = server.ask(Method::POST, PODS, made).await;
    made["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    assert_eq!(server.ask(Method::PUT, &format!("{PODS}/p/status"), made).await.0, 200);
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
    });
    let (code, mut budget) = server.ask(Method::POST, budgets, budget).await;
    assert_eq!(code, 201, "{budget}");
    let evict = async |body: Value| server.ask(Method::POST, &format!("{PODS}/p/eviction"), body).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let (code, refused) = evict(eviction.clone()).await;
    assert_eq!(
        (code, &refused["details"]["retryAfterSeconds"]),
        (429, &json!(10)),
        "not observed yet: {refused}"
    );
    budget["status"] = json!({
        "observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1,
    });
    let (code, mut budget) = server.ask(Method::PUT, &format!("{budgets}/b/status"), budget).await;
    assert_eq!(code, 200, "{budget}");
    let (code, refused) = evict(eviction.clone()).await;
    assert_eq!(
        (code, refused["message"].as_str(), refused["details"]["causes"][0]["message"].as_str()),
        (
            429,
            Some("Cannot evict pod as it would violate the pod's disruption budget."),
            Some("The disruption budget b needs 1 healthy pods and has 1 currently"),
        )
    );
    budget["status"]["disruptionsAllowed"] = 1.into();
    assert_eq!(server.ask(Method::PUT, &format!("{budgets}/b/status"), budget).await.0, 200);
    let mut dry = eviction.clone();
    dry["deleteOptions"] = json!({"dryRun": ["All"], "gracePeriodSeconds": 0});
    assert_eq!(evict(dry).await.0, 201);
    assert_eq!(server.get(&format!("{PODS}/p")).await.0, 200, "a dry run deletes nothing");
    assert_eq!(evict(eviction).await.0, 201);
    let (_, spent) = server.get(&format!("{budgets}/b")).await;
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    assert!(spent["status"]["disruptedPods"]["p"].is_string(), "{spent}");
    assert_eq!(spent["status"]["conditions"][0]["reason"], "InsufficientPods", "{spent}");

    // What is not ready goes where the budget does not mind, and says why it goes.
    let mut second = pod("q");
    second["metadata"]["labels"] = json!({"app": "x"});
    second["spec"]["nodeName"] = "n1".into();
    let (_, mut second) = server.ask(Method::POST, PODS, second).await;
    second["status"] = json!({"phase": "Running"});
    assert_eq!(server.ask(Method::PUT, &format!("{PODS}/q/status"), second).await.0, 200);
    let evict = async |version: Value| {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "q"},
            "deleteOptions": {"preconditions": {"resourceVersion": version}},
        });
        server.ask(Method::POST, &format!("{PODS}/q/eviction"), eviction).await
    };
    let patch = async |path: &str, body: Value| {
        let headers = [("content-type", "application/merge-patch+json")];
        let path = format!("{budgets}/{path}");
        let (code, patched) =
            server.ask_with(Method::PATCH, &path, &headers, body.to_string().into_bytes()).await;
        assert_eq!(code, 200, "{patched}");
    };
    patch("b/status", json!({"status": {"currentHealthy": 0}})).await;
    let (code, refused) = evict(Value::Null).await;
    assert_eq!(code, 429, "the default policy minds: {refused}");
    patch("b", json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})).await;
    assert_eq!(evict("1".into()).await.0, 409, "another version was meant");
    assert_eq!(evict(Value::Null).await.0, 201);
    let (_, going) = server.get(&format!("{PODS}/q")).await;
    let conditions = going["status"]["conditions"].as_array().expect("has conditions");
    let target = conditions.iter().find(|it| it["type"] == "DisruptionTarget").expect("it says why");
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("EvictionByEvictionAPI")));
    server.stop().await;
}

#[tokio::test]
async fn an_autoscaler_is_one_object_in_two_versions() {
    let server = start().await;
    let path =
        |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let (v1, v2) = (path("v1"), path("v2"));
    let object = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3,
            "metrics": [{
                "type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        },
    });
    let (code, made) = server.ask(Method::POST, &v2, object).await;
    assert_eq!(code, 201, "{made}");
    let (_, mut old) = server.get(&format!("{v1}/h")).await;
    assert_eq!(
        (&old["apiVersion"], &old["spec"]["targetCPUUtilizationPercentage"]),
        (&json!("autoscaling/v1"), &json!(70))
    );
    old["spec"]["maxReplicas"] = 4.into();
    let (code, put) = server.ask(Method::PUT, &format!("{v1}/h"), old).await;
    assert_eq!(code, 200, "{put}");
    let (_, new) = server.get(&format!("{v2}/h")).await;
    assert_eq!(new["spec"]["maxReplicas"], 4);
    assert_eq!(new["spec"]["behavior"], made["spec"]["behavior"], "what v1 cannot say is kept");
    assert_eq!(new["spec"]["metrics"], made["spec"]["metrics"]);
    server.stop().await;
}

#[tokio::test]
async fn propagation_is_told_by_finalizers() {
    let server = start().await;
    let cases = [("Orphan", json!(["orphan"])), ("Foreground", json!(["foregroundDeletion"]))];
    for (policy, want) in cases {
        let (code, made) = server.ask(Method::POST, DEPLOYMENTS, deployment()).await;
        assert_eq!(code, 201, "{made}");
        let path = format!("{DEPLOYMENTS}/web?propagationPolicy={policy}");
        let (code, mut held) = server.ask_with(Method::DELETE, &path, &[], vec![]).await;
        assert_eq!((code, &held["metadata"]["finalizers"]), (200, &want), "{held}");
        assert_eq!(held["metadata"]["generation"], 2, "a deletion is a wish");
        held["metadata"]["finalizers"] = json!([]);
        assert_eq!(server.ask(Method::PUT, &format!("{DEPLOYMENTS}/web"), held).await.0, 200);
        assert_eq!(server.get(&format!("{DEPLOYMENTS}/web")).await.0, 404);
    }
    assert_eq!(server.ask(Method::POST, DEPLOYMENTS, deployment()).await.0, 201);
    let path = format!("{DEPLOYMENTS}/web/scale");
    let (_, mut scale) = server.get(&path).await;
    scale["metadata"]["resourceVersion"] = "1".into();
    let (code, stale) = server.ask(Method::PUT, &path, scale).await;
    assert_eq!((code, stale["reason"].as_str()), (409, Some("Conflict")));
    let merge = [("content-type", "application/merge-patch+json")];
    let body = json!({"status": {"replicas": 2, "readyReplicas": 1}, "spec": {"replicas": 9}}).to_string();
    let (code, patched) =
        server.ask_with(Method::PATCH, &format!("{DEPLOYMENTS}/web/status"), &merge, body.into_bytes()).await;
    assert_eq!(
        (code, &patched["status"]["readyReplicas"], &patched["spec"]["replicas"]),
        (200, &json!(1), &json!(2))
    );
    let (code, gone) =
        server.ask(Method::DELETE, DEPLOYMENTS, json!({"propagationPolicy": "Background"})).await;
    assert_eq!(
        (code, &gone["kind"], gone["items"].as_array().map(Vec::len)),
        (200, &json!("DeploymentList"), Some(1))
    );
    assert_eq!(server.get(&format!("{DEPLOYMENTS}/web")).await.0, 404);
    server.stop().await;
}
