//! Watches and logs over WebSocket: the same answer, each event or piece of it a message.

use http::{Request, Response};
use oarlock_api::Status;
use oarlock_streaming::{Messages, Streaming, asks_for_websocket};

use super::Call;
use crate::body::{Body, wrap};
use crate::decode::Format;
use crate::encode::negotiate;

/// What the messages are, where a request asks for a WebSocket and its answer can come over one.
pub(super) fn messages(call: &Call<'_>, request: &Request<Body>) -> Option<Messages> {
    let pieces = match (call.info.subresource.as_str(), call.info.verb.as_str()) {
        ("", "watch") => false,
        ("log", "get") => true,
        _ => return None,
    };
    if !asks_for_websocket(request) {
        return None;
    }
    if pieces {
        return Some(Messages::Pieces);
    }
    let accepted = negotiate(call.headers, call.query, true);
    let in_protobuf = accepted.is_ok_and(|accepted| accepted.format == Format::Protobuf);
    Some(if in_protobuf { Messages::Prefixed } else { Messages::Lines })
}

pub(super) async fn serve(
    call: Call<'_>,
    mut request: Request<Body>,
    messages: Messages,
) -> Result<Response<Body>, Status> {
    let streaming = Streaming::new(call.server.tasks.clone());
    let carrier = match streaming.accept_body(&mut request, messages) {
        Ok(carrier) => carrier,
        Err(rejection) => return Ok(rejection.into_response().map(wrap)),
    };
    let answer = super::route(call, request).await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    Ok(carrier.carry(answer.into_body()).map(wrap))
}
