//! `nodes/proxy`, `pods/proxy`, `services/proxy`: a reverse proxy to what runs in the cluster.

use http::header::{HeaderValue, LOCATION};
use http::{Request, Response, StatusCode};
use oarlock_api::{GroupResource, Status};

use super::Call;
use super::connect::{admit, node_target};
use crate::aggregate::{NoEnd, end_of};
use crate::body::{Body, empty};
use crate::kubelet::Target;

pub(super) async fn serve(call: Call<'_>, request: Request<Body>) -> Result<Response<Body>, Status> {
    admit(&call).await?;
    let path = request.uri().path().to_string();
    let rest = onward_path(&path, call.info.rest.len());
    if rest.is_empty() {
        // The end needs its slash, or relative links of the answer would point beside it.
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        let location = HeaderValue::from_str(&format!("{path}/"));
        response.headers_mut().insert(LOCATION, location.map_err(|_| Status::bad_request("not a path"))?);
        return Ok(response);
    }
    let onward = match request.uri().query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest,
    };
    check_target(call.served.api.kind, &call.info.name)?;
    let target = match call.served.api.plural {
        "nodes" => node_target(&call, name_and_port(&call.info.name).1).await?,
        "pods" => pod_target(&call).await?,
        _ => service_target(&call).await?,
    };
    call.server.dialer.forward(&target, &onward, request).await
}

/// The raw path after `/proxy`: its last `segments` segments, with a trailing slash if it had one.
fn onward_path(path: &str, segments: usize) -> String {
    let trailing = path.ends_with('/');
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = &parts[parts.len().saturating_sub(segments)..];
    if rest.is_empty() {
        return if trailing { "/".into() } else { String::new() };
    }
    format!("/{}{}", rest.join("/"), if trailing { "/" } else { "" })
}

/// Upstream's form of `scheme:name:port` and its shorter ones.
fn check_target(kind: &str, text: &str) -> Result<(), Status> {
    let parts: Vec<&str> = text.split(':').collect();
    let good = match parts.as_slice() {
        [name] | [name, _] => !name.is_empty(),
        [scheme, name, _] => matches!(*scheme, "" | "http" | "https") && !name.is_empty(),
        _ => false,
    };
    if good {
        return Ok(());
    }
    Err(Status::bad_request(format!("invalid {} request {text:?}", kind.to_lowercase())))
}

/// `scheme:name:port`, `name:port`, `name`.
fn name_and_port(text: &str) -> (&str, &str, &str) {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [scheme, name, port] => (scheme, name, port),
        [name, port] => ("", name, port),
        _ => ("", text, ""),
    }
}

async fn pod_target(call: &Call<'_>) -> Result<Target, Status> {
    let (scheme, name, port) = name_and_port(&call.info.name);
    let pods = GroupResource::new("", "pods");
    let found = call.server.objects.get_fresh(&pods, call.namespace(), name).await?;
    let pod = found.ok_or_else(|| Status::not_found(&pods, name))?;
    let host = pod["status"]["podIP"].as_str().filter(|ip| !ip.is_empty());
    let host = host.ok_or_else(|| Status::bad_request("address not allowed"))?;
    let first = || {
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        containers
            .flat_map(|c| c["ports"].as_array().into_iter().flatten())
            .find_map(|p| p["containerPort"].as_u64())
    };
    let port = if port.is_empty() { first().map(|p| p.to_string()) } else { Some(port.to_string()) };
    let default = if scheme == "https" { 443 } else { 80 };
    let port = match port {
        None => default,
        Some(text) => text.parse().map_err(|_| Status::bad_request(format!("invalid port {text:?}")))?,
    };
    Ok(Target { host: host.to_string(), port, tls: scheme == "https" })
}

async fn service_target(call: &Call<'_>) -> Result<Target, Status> {
    let (scheme, name, port) = name_and_port(&call.info.name);
    let services = GroupResource::new("", "services");
    let objects = &call.server.objects;
    let found = objects.get_fresh(&services, call.namespace(), name).await?;
    found.ok_or_else(|| Status::not_found(&services, name))?;
    end_of(&**objects, (call.namespace(), name), port, scheme == "https").map_err(|fault| match fault {
        NoEnd::Endpoints(_) => {
            Status::service_unavailable(format!("no endpoints available for service {:?}", call.info.name))
        }
        other => Status::service_unavailable(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_names_with_schemes_and_ports() {
        for (text, good) in [
            ("a", true),
            ("a:80", true),
            ("https:a:web", true),
            ("http:a:", true),
            ("", false),
            ("ftp:a:80", false),
            (":80", false),
            ("a:b:c:d", false),
        ] {
            assert_eq!(check_target("Service", text).is_ok(), good, "{text}");
        }
        let said = check_target("Service", "a:b:c:d").expect_err("too many parts").message;
        assert_eq!(said, "invalid service request \"a:b:c:d\"");
    }

    #[test]
    fn the_path_goes_on_after_proxy() {
        let base = "/api/v1/namespaces/a/pods/p/proxy";
        assert_eq!(onward_path(base, 0), "");
        assert_eq!(onward_path(&format!("{base}/"), 0), "/");
        assert_eq!(onward_path(&format!("{base}/x/y%20z"), 2), "/x/y%20z");
        assert_eq!(onward_path(&format!("{base}/x/"), 1), "/x/");
    }
}
