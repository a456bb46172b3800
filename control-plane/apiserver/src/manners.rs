//! What clients are told beside their answers: where their pages may come from, that they are to use TLS, and when to come
//! again. Before anything is known of who asks.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONNECTION, HeaderValue, ORIGIN, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};

use crate::body::{Body, empty};
use crate::chain::Peer;
use crate::config::Manners;
use crate::encode;
use crate::server::Server;

/// Upstream's, in seconds.
const RETRY_SECONDS: u16 = 5;
const METHODS: &str = "POST, GET, OPTIONS, PUT, DELETE, PATCH";
const HEADERS: &str = "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, \
                       If-Modified-Since";

/// The answer to a request that goes no further.
pub(crate) fn instead(server: &Server, peer: &Peer, request: &Request<Body>) -> Option<Response<Body>> {
    let manners = &server.manners;
    if (manners.retry_while_stopping || manners.retry_while_starting) && peer.identity.is_none() {
        let path = request.uri().path();
        let checked = ["/healthz", "/livez", "/readyz"].iter().any(|health| path.starts_with(health));
        if !checked && let Some(why) = turned_away(server) {
            return Some(later(why, request.version()));
        }
    }
    // A browser asks before it asks.
    let asks = *request.method() == Method::OPTIONS && allowed_origin(manners, request.headers()).is_some();
    asks.then(|| {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    })
}

fn turned_away(server: &Server) -> Option<&'static str> {
    if server.manners.retry_while_stopping && server.refusing.is_triggered() {
        return Some("The apiserver is shutting down, please try again later.\n");
    }
    let starting = server.manners.retry_while_starting && !*server.ready.borrow();
    starting.then_some("The apiserver hasn't been fully initialized yet, please try again later.\n")
}

fn later(why: &'static str, version: Version) -> Response<Body> {
    let mut response = encode::text(StatusCode::TOO_MANY_REQUESTS, why);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    // HTTP/2 knows no such header; there the connection is told to go when the server stops.
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The origin of the page that asks, if it may. A page's origin is in one header.
fn allowed_origin<'a>(manners: &Manners, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    if manners.origins.is_empty() {
        return None;
    }
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    manners.origins.iter().any(|allowed| allowed.is_match(text)).then_some(origin)
}

/// The headers that every answer to this request bears.
pub(crate) fn of(manners: &Manners, request: &HeaderMap) -> HeaderMap {
    let mut told = HeaderMap::new();
    if let Some(directives) = &manners.transport_security {
        told.insert(STRICT_TRANSPORT_SECURITY, directives.clone());
    }
    if let Some(origin) = allowed_origin(manners, request) {
        told.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        told.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        told.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
        told.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date"));
        told.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_origins_are_told_that_they_are() {
        let allowed = [r"^https://example\.com$", r"//\w+\.example\.org(:|$)"];
        let manners = Manners {
            origins: allowed.map(|text| regex::Regex::new(text).expect("an expression")).to_vec(),
            transport_security: Some(HeaderValue::from_static("max-age=9")),
            ..Manners::default()
        };
        let check = |origin: Option<&'static str>, allowed: bool| {
            let mut headers = HeaderMap::new();
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            let told = of(&manners, &headers);
            assert_eq!(told[STRICT_TRANSPORT_SECURITY], "max-age=9");
            assert_eq!(
                told.get(ACCESS_CONTROL_ALLOW_ORIGIN),
                headers.get(ORIGIN).filter(|_| allowed),
                "{origin:?}"
            );
            assert_eq!(told.len(), if allowed { 6 } else { 1 });
        };
        check(Some("https://example.com"), true);
        check(Some("http://a.example.org:8080"), true);
        check(Some("https://example.com.evil.test"), false);
        check(None, false);
        assert!(of(&Manners::default(), &HeaderMap::new()).is_empty());
    }
}
