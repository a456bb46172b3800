//! Subresources that end at the kubelet: logs are copied, exec, attach and port-forward are tunnelled as they are.

use http::header::{CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::{Decision, Operation};
use serde_json::{Map, Value};

use super::Call;
use crate::body::{Body, empty, wrap};
use crate::kubelet::{Target, container_of, error_text, unreachable};
use crate::registry::admission;

/// The pod as the cache has it now.
pub(super) async fn pod(call: &Call<'_>) -> Result<std::sync::Arc<Value>, Status> {
    let pods = GroupResource::new("", "pods");
    let found = call.server.objects.get_fresh(&pods, call.namespace(), &call.info.name).await?;
    found.ok_or_else(|| Status::not_found(&pods, &call.info.name))
}

/// The kubelet of a node.
pub(super) async fn node_target(call: &Call<'_>, node: &str) -> Result<Target, Status> {
    let nodes = GroupResource::new("", "nodes");
    let found = call.server.objects.get_fresh(&nodes, "", node).await?;
    call.server.dialer.kubelet(&*found.ok_or_else(|| Status::not_found(&nodes, node))?)
}

/// A query from its parts; empty without them.
pub(super) fn query_string(pairs: &[(String, String)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

const LOG_PARAMETERS: [&str; 8] =
    ["follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "stream", "tailLines", "timestamps"];

pub(super) async fn log(call: Call<'_>) -> Result<Response<Body>, Status> {
    let pod = pod(&call).await?;
    let container = container_of(&pod, call.query.get("container").unwrap_or_default())?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let mut response = if node.is_empty() {
        // A pod that is on no node has logged nothing.
        Response::new(empty())
    } else {
        let target = node_target(&call, node).await?;
        let pairs: Vec<(String, String)> = call
            .query
            .pairs()
            .filter(|(key, _)| LOG_PARAMETERS.contains(key))
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let (namespace, name) = call.place();
        let path = format!("/containerLogs/{namespace}/{name}/{container}{}", query_string(&pairs));
        fetch_log(&call, &target, &path).await?
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn fetch_log(call: &Call<'_>, target: &Target, path: &str) -> Result<Response<Body>, Status> {
    let mut request = Request::new(empty());
    *request.uri_mut() = path.parse().map_err(|_| Status::bad_request("the path cannot be forwarded"))?;
    if let Ok(host) = target.authority().parse() {
        request.headers_mut().insert(http::header::HOST, host);
    }
    let response = call.server.dialer.send(target, request).await.map_err(unreachable)?;
    let code = response.status();
    if code == StatusCode::OK {
        return Ok(Response::new(wrap(response.into_body())));
    }
    let told = error_text(response.into_body()).await;
    Err(match code {
        StatusCode::BAD_REQUEST => Status::bad_request(told),
        StatusCode::INTERNAL_SERVER_ERROR => Status::internal(told),
        StatusCode::NOT_FOUND => Status::new(
            404,
            "NotFound",
            format!("the server could not find the requested resource ( pods/log {})", call.info.name),
        ),
        other => Status::new(
            other.as_u16(),
            "",
            format!(
                "the server responded with the status code {} but did not return more information: {told}",
                other.as_u16()
            ),
        ),
    })
}

/// exec, attach, portforward.
pub(super) async fn stream(call: Call<'_>, request: Request<Body>) -> Result<Response<Body>, Status> {
    if request.method() != Method::GET && request.method() != Method::POST {
        return Err(super::not_allowed());
    }
    admit(&call).await?;
    let gate = "AuthorizePodWebsocketUpgradeCreatePermission";
    if request.method() == Method::GET && call.server.features.is_on(gate) {
        may_create(&call).await?;
    }
    let pod = pod(&call).await?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let (namespace, name) = call.place();
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let path = kubelet_path(&call, &pod, namespace, name)?;
    if !request.headers().contains_key(UPGRADE) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let target = node_target(&call, node).await?;
    call.server.dialer.forward(&target, &path, request).await
}

/// A WebSocket opens with GET, but runs commands: it needs what a POST needs, too. Asked after admission, and refused
/// in words of its own. (AuthorizePodWebsocketUpgradeCreatePermission)
async fn may_create(call: &Call<'_>) -> Result<(), Status> {
    let mut attributes = crate::authorise::attributes(call.info, call.user, None);
    attributes.verb = "create".into();
    match call.server.authorizer.authorize(&attributes).await {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(why) | Decision::NoOpinion(why) => {
            Err(Status::forbidden(&GroupResource::new("", "pods"), &call.info.name, why))
        }
    }
}

fn kubelet_path(call: &Call<'_>, pod: &Value, namespace: &str, name: &str) -> Result<String, Status> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    if call.info.subresource == "portforward" {
        pairs.extend(call.query.all("ports").map(|port| ("port".to_string(), port.to_string())));
        return Ok(format!("/portForward/{namespace}/{name}{}", query_string(&pairs)));
    }
    let container = container_of(pod, call.query.get("container").unwrap_or_default())?;
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if call.info.subresource == "exec" && matches!(phase, "Succeeded" | "Failed") {
        return Err(Status::bad_request(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let tty = call.query.flag("tty");
    for (ours, theirs) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        // A terminal has one output stream.
        if call.query.flag(ours) && !(ours == "stderr" && tty) {
            pairs.push((theirs.into(), "1".into()));
        }
    }
    pairs.extend(call.query.all("command").map(|word| ("command".to_string(), word.to_string())));
    Ok(format!("/{}/{namespace}/{name}/{container}{}", call.info.subresource, query_string(&pairs)))
}

/// Admission of a connection: its options are the object.
pub(super) async fn admit(call: &Call<'_>) -> Result<(), Status> {
    let kind = call.served.api.subresource(&call.info.subresource).map_or("", |sub| sub.kind.kind);
    let mut object = Map::new();
    object.insert("apiVersion".into(), "v1".into());
    object.insert("kind".into(), kind.into());
    for (key, value) in call.query.pairs() {
        let value: Value = match value {
            "true" | "1" => true.into(),
            "false" | "0" => false.into(),
            other => other.into(),
        };
        if key == "command" {
            let words = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(words) = words {
                words.push(value);
            }
        } else {
            object.insert(key.to_string(), value);
        }
    }
    let mut object = Value::Object(object);
    let options = Value::Null;
    let mut write = call.write(&options);
    let registry = &call.server.registry;
    let mut request =
        admission(Operation::Connect, call.served, &mut write, call.place(), Some(&mut object), None);
    registry.mutate(&mut request).await?;
    registry.admit(&request).await
}
