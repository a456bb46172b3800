//! Upgrade requests and their answers: which transport and protocol both sides speak. Pure.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{Body, Rejection, Transport};

pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
pub(crate) const ACCEPTED_PROTOCOLS: HeaderName =
    HeaderName::from_static("x-accepted-stream-protocol-versions");
pub(crate) const SPDY: &str = "SPDY/3.1";

/// Remote command over SPDY. v5 differs from v4 only in WebSockets.
pub(crate) const REMOTE_COMMAND_SPDY: &[&str] =
    &["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
pub(crate) const REMOTE_COMMAND_WEBSOCKET: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];
pub(crate) const PORT_FORWARD_SPDY: &[&str] = &["portforward.k8s.io"];
/// SPDY inside a WebSocket.
pub(crate) const PORT_FORWARD_TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
pub(crate) const PORT_FORWARD_WEBSOCKET: &[&str] =
    &[PORT_FORWARD_TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "portforward.k8s.io", ""];

/// The protocols that a server speaks on each transport.
pub(crate) struct Accepted {
    pub(crate) spdy: &'static [&'static str],
    pub(crate) websocket: &'static [&'static str],
}

/// What was agreed, and the 101 that says so.
pub(crate) struct Agreed {
    pub(crate) transport: Transport,
    pub(crate) protocol: &'static str,
    pub(crate) response: Response<Body>,
}

/// Answers an upgrade request.
pub(crate) fn agree<B>(request: &Request<B>, accepted: &Accepted) -> Result<Agreed, Rejection> {
    let headers = request.headers();
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(Rejection::NotUpgrade);
    }
    if has_token(headers, header::UPGRADE, "websocket") {
        agree_websocket(headers, accepted.websocket)
    } else if has_token(headers, header::UPGRADE, SPDY) {
        agree_spdy(headers, accepted.spdy)
    } else {
        Err(Rejection::NotUpgrade)
    }
}

pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, header::CONNECTION, "upgrade") && has_token(headers, header::UPGRADE, "websocket")
}

fn agree_websocket(headers: &HeaderMap, server: &'static [&'static str]) -> Result<Agreed, Rejection> {
    let bad = |reason: &str| Rejection::BadHandshake { reason: reason.to_string() };
    if !has_token(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(bad("missing or bad WebSocket Version"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let key = key.ok_or_else(|| bad("missing or bad Sec-WebSocket-Key"))?;
    let mut client = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL);
    if client.is_empty() {
        client.push("");
    }
    let protocol = negotiate(&client, server)?;
    let mut response = switching("websocket");
    let accept = derive_accept_key(key.as_bytes());
    let accept = HeaderValue::try_from(accept).expect("base64 is a header value");
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if !protocol.is_empty() {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(Agreed { transport: Transport::WebSocket, protocol, response })
}

fn agree_spdy(headers: &HeaderMap, server: &'static [&'static str]) -> Result<Agreed, Rejection> {
    let client = tokens(headers, PROTOCOL_VERSION);
    if client.is_empty() {
        return Err(Rejection::BadHandshake { reason: "X-Stream-Protocol-Version is required".into() });
    }
    let protocol = negotiate(&client, server)?;
    let mut response = switching(SPDY);
    response.headers_mut().insert(PROTOCOL_VERSION, HeaderValue::from_static(protocol));
    Ok(Agreed { transport: Transport::Spdy, protocol, response })
}

/// The client's first choice that the server knows.
fn negotiate(client: &[&str], server: &'static [&'static str]) -> Result<&'static str, Rejection> {
    let common = client.iter().find_map(|wanted| server.iter().find(|known| *known == wanted));
    common.copied().ok_or_else(|| Rejection::NoCommonProtocol {
        client: client.join(" "),
        server: server.iter().copied().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" "),
    })
}

fn switching(upgrade: &'static str) -> Response<Body> {
    let mut response = Response::new(empty_body());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(upgrade));
    response
}

pub(crate) fn empty_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// The comma-separated values of a header, in order.
fn tokens(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty()).collect()
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).iter().any(|found| found.eq_ignore_ascii_case(token))
}

/// Puts a client's upgrade headers on a request; gives the WebSocket key it chose.
pub(crate) fn offer(
    headers: &mut HeaderMap,
    transport: Transport,
    protocols: &[&'static str],
) -> Option<String> {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let name = match transport {
        Transport::WebSocket => header::SEC_WEBSOCKET_PROTOCOL,
        Transport::Spdy => PROTOCOL_VERSION,
    };
    let offered = HeaderValue::try_from(protocols.join(", ")).expect("protocol names are header values");
    match transport {
        Transport::Spdy => {
            headers.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
            for protocol in protocols {
                headers.append(name.clone(), HeaderValue::from_static(protocol));
            }
            None
        }
        Transport::WebSocket => {
            let key = tokio_tungstenite::tungstenite::handshake::client::generate_key();
            headers.insert(name, offered);
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            let value = HeaderValue::try_from(key.as_str()).expect("base64 is a header value");
            headers.insert(header::SEC_WEBSOCKET_KEY, value);
            Some(key)
        }
    }
}

/// The protocol that the server chose, if its handshake is right.
pub(crate) fn chosen(
    headers: &HeaderMap,
    key: Option<&str>,
    offered: &[&'static str],
) -> Result<&'static str, String> {
    let name = if key.is_some() { header::SEC_WEBSOCKET_PROTOCOL } else { PROTOCOL_VERSION };
    if let Some(key) = key {
        let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err("the WebSocket key was not confirmed".to_string());
        }
    }
    let found = tokens(headers, name);
    let chosen = offered.iter().find(|p| found.contains(p));
    chosen.copied().ok_or_else(|| format!("the protocol {found:?} was not offered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: Accepted = Accepted { spdy: REMOTE_COMMAND_SPDY, websocket: REMOTE_COMMAND_WEBSOCKET };

    fn request(pairs: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::get("/exec");
        for (name, value) in pairs {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a request")
    }

    #[test]
    fn the_clients_first_known_protocol_is_taken() {
        let check = |pairs: &[(&str, &str)], want: Result<&str, StatusCode>| {
            let got = agree(&request(pairs), &REMOTE).map(|a| a.protocol).map_err(|r| r.status());
            assert_eq!(got, want, "{pairs:?}");
        };
        let key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let (version, ws) = (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"));
        let (connection, spdy) = (("Connection", "keep-alive, Upgrade"), ("Upgrade", "SPDY/3.1"));
        check(&[], Err(StatusCode::BAD_REQUEST));
        check(&[connection], Err(StatusCode::BAD_REQUEST));
        check(&[connection, spdy], Err(StatusCode::BAD_REQUEST));
        let v = |p| ("X-Stream-Protocol-Version", p);
        check(
            &[connection, spdy, v("v9"), v("v4.channel.k8s.io"), v("v3.channel.k8s.io")],
            Ok("v4.channel.k8s.io"),
        );
        check(&[connection, spdy, v("v9")], Err(StatusCode::FORBIDDEN));
        check(&[connection, ws], Err(StatusCode::BAD_REQUEST));
        check(&[connection, ws, version], Err(StatusCode::BAD_REQUEST));
        check(&[connection, ws, version, key], Ok(""));
        let p = |p| ("Sec-WebSocket-Protocol", p);
        check(
            &[connection, ws, version, key, p("v5.channel.k8s.io, v4.channel.k8s.io")],
            Ok("v5.channel.k8s.io"),
        );
        check(&[connection, ws, version, key, p("chat")], Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn an_offer_is_agreed_and_confirmed() {
        for transport in [Transport::WebSocket, Transport::Spdy] {
            let mut request = request(&[]);
            let offered = &["v5.channel.k8s.io", "v4.channel.k8s.io"];
            let key = offer(request.headers_mut(), transport, offered);
            let agreed = agree(&request, &REMOTE).expect("agreed");
            assert_eq!(agreed.transport, transport);
            assert_eq!(chosen(agreed.response.headers(), key.as_deref(), offered), Ok("v5.channel.k8s.io"));
        }
    }
}
