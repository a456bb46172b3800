//! The way to another server: its endpoint, our identity, and the user in headers.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use oarlock_api::Status;
use oarlock_apiserver_access::User;

use super::plan::Backend;
use crate::body::Body;
use crate::encode;
use crate::kubelet::{Target, Trust};
use crate::server::Server;

/// Forwards a request that belongs to another server.
pub(crate) async fn serve(
    server: &Arc<Server>,
    backend: &Backend,
    user: &User,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    if !backend.available {
        return Ok(encode::text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n"));
    }
    let (target, trust) = match way_to(server, backend) {
        Ok(way) => way,
        Err(why) => {
            tracing::warn!(backend = %backend.name, %why, "an aggregated server cannot be reached");
            return Ok(encode::text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n"));
        }
    };
    let onward = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_string();
    let forwarded =
        server.dialer.forward_to(&target, Some(&trust), &onward, user_headers(user), request).await;
    Ok(forwarded.unwrap_or_else(|status| {
        let why = format!("error trying to reach service: {}\n", status.message);
        encode::text(StatusCode::SERVICE_UNAVAILABLE, why)
    }))
}

/// An endpoint of a backend, and how it is known.
pub(super) fn way_to(server: &Server, backend: &Backend) -> Result<(Target, Arc<Trust>), String> {
    let place = (backend.namespace.as_str(), backend.service.as_str());
    let target = super::end_of(&*server.objects, place, &backend.port.to_string(), true)
        .map_err(|fault| fault.to_string())?;
    let trust = server.aggregator.trust(backend).map_err(|error| error.to_string())?;
    Ok((target, trust))
}

/// The user as the front proxy says it. (`--requestheader-username-headers` and its like, as kubeadm sets them)
pub(super) fn user_headers(user: &User) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    user.groups.iter().for_each(|group| add("x-remote-group", group));
    for (key, values) in &user.extra {
        let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
        let name = format!("x-remote-extra-{key}").to_ascii_lowercase();
        values.iter().for_each(|value| add(&name, value));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_travel_in_headers() {
        let user = User {
            name: "jane".into(),
            uid: "7".into(),
            groups: vec!["a".into(), "b".into()],
            extra: [("scopes/x".to_string(), vec!["y".to_string()])].into(),
        };
        let headers = user_headers(&user);
        assert_eq!(headers["x-remote-user"], "jane");
        assert_eq!(headers["x-remote-uid"], "7");
        assert_eq!(headers.get_all("x-remote-group").iter().count(), 2);
        assert_eq!(headers["x-remote-extra-scopes%2fx"], "y");
    }
}
