//! The body of a request, read in full and no further than its limit.

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use oarlock_api::Status;

use crate::body::Body;

/// Upstream's `MaxRequestBodyBytes`.
const BODY_MAX: usize = 3 * 1024 * 1024;
/// So much of a refused body is read all the same: a client that is cut off while it sends does not see the answer.
const DISCARDED_MAX: usize = 4 * BODY_MAX;

pub(crate) async fn read_body(mut body: Body) -> Result<Bytes, Status> {
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(too_large(body).await);
    }
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_none() && whole.is_empty() {
            // Most bodies come in one piece, which is not copied.
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
        if whole.len() > BODY_MAX {
            return Err(too_large(body).await);
        }
    }
    let whole = first.unwrap_or_else(|| whole.freeze());
    if whole.len() > BODY_MAX { Err(too_large(body).await) } else { Ok(whole) }
}

async fn too_large(mut rest: Body) -> Status {
    let mut discarded = 0;
    while let Some(Ok(frame)) = rest.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARDED_MAX {
            break;
        }
    }
    Status::request_entity_too_large(format!("limit is {BODY_MAX}"))
}
