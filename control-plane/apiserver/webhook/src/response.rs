//! What an answer that is no success means. (client-go `rest/request.go`, apimachinery `NewGenericServerResponse`)

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use oarlock_api::Status;
use serde_json::Value;

use crate::CallError;

/// How much of an answer that is no Status is told.
const TOLD_BYTES_MAX: usize = 2048;

pub(crate) async fn read_body(
    url: &str,
    body: hyper::body::Incoming,
    max: usize,
) -> Result<Bytes, CallError> {
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(CallError::TooLarge { url: url.into(), max }),
        Err(_) => {
            Err(CallError::Transport { url: url.into(), why: "unexpected EOF".into(), retriable: true })
        }
    }
}

/// The body, if the answer is a success.
pub(crate) fn checked(code: u16, headers: &HeaderMap, body: Bytes) -> Result<Bytes, CallError> {
    if let Some(status) = told_status(&body) {
        return Err(CallError::Status(Box::new(status)));
    }
    if (200..=206).contains(&code) {
        return Ok(body);
    }
    let message = if is_text(headers) { told(&body) } else { "unknown".into() };
    let mut status = generic(code, &message);
    let seconds = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
    if let Some(seconds) = seconds {
        status = status.with_retry_after(seconds);
    }
    Err(CallError::Status(Box::new(status.with_cause("UnexpectedServerResponse", message, ""))))
}

/// A `v1` Status of a failure.
fn told_status(body: &[u8]) -> Option<Status> {
    // Looked for before the whole body is parsed: it almost never is one.
    let head = &body[..body.len().min(TOLD_BYTES_MAX)];
    if !head.windows(8).any(|window| window == b"\"Status\"") {
        return None;
    }
    let object: Value = serde_json::from_slice(body).ok()?;
    if object["kind"] != "Status" || object["apiVersion"] != "v1" || object["status"] == "Success" {
        return None;
    }
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_string();
    Some(Status {
        warnings: Vec::new(),
        code: object["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
        reason: text("reason"),
        message: text("message"),
        details: serde_json::from_value(object["details"].clone()).ok(),
    })
}

fn is_text(headers: &HeaderMap) -> bool {
    match headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?")) {
        None | Some("") => true,
        Some(media) => media.trim_start().to_ascii_lowercase().starts_with("text/"),
    }
}

fn told(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(TOLD_BYTES_MAX)]).trim().to_string()
}

fn generic(code: u16, told: &str) -> Status {
    let known = !told.is_empty() && told != "unknown";
    let or_told = |fallback: &str| if known { told.to_string() } else { fallback.to_string() };
    let (reason, message) = match code {
        400 => ("BadRequest", "the server rejected our request for an unknown reason".into()),
        401 => ("Unauthorized", "the server has asked for the client to provide credentials".into()),
        403 => ("Forbidden", told.to_string()),
        404 => ("NotFound", "the server could not find the requested resource".into()),
        405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource".into()),
        406 => (
            "NotAcceptable",
            or_told("the server was unable to respond with a content type that the client supports"),
        ),
        409 => ("AlreadyExists", "the server reported a conflict".into()),
        415 => (
            "UnsupportedMediaType",
            or_told("the server was unable to respond with a content type that the client supports"),
        ),
        422 => ("Invalid", "the server rejected our request due to an error in our request".into()),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later".into(),
        ),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request".into()),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .into(),
        ),
        500.. => (
            "InternalError",
            format!("an error on the server ({told:?}) has prevented the request from succeeding"),
        ),
        _ => (
            "",
            format!("the server responded with the status code {code} but did not return more information"),
        ),
    };
    Status::new(code, reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_as_upstreams_client_reads_them() {
        let check = |code: u16, media: &str, body: &'static str, want: Result<&str, &str>| {
            let mut headers = HeaderMap::new();
            if !media.is_empty() {
                headers.insert(CONTENT_TYPE, media.parse().expect("a media type"));
            }
            let got = checked(code, &headers, Bytes::from_static(body.as_bytes()));
            let got = got.map(|b| String::from_utf8(b.to_vec()).expect("text")).map_err(|e| e.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{code} {body}");
        };
        check(200, "application/json", "{}", Ok("{}"));
        check(404, "text/plain", "nope", Err("the server could not find the requested resource"));
        check(
            500,
            "text/plain; charset=utf-8",
            "boom\n",
            Err("an error on the server (\"boom\") has prevented the request from succeeding"),
        );
        check(
            500,
            "application/json",
            "{}",
            Err("an error on the server (\"unknown\") has prevented the request from succeeding"),
        );
        check(
            302,
            "",
            "",
            Err("the server responded with the status code 302 but did not return more information"),
        );
        let status =
            r#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":403,"message":"go away"}"#;
        check(403, "application/json", status, Err("go away"));
        check(200, "application/json", status, Err("go away"));
    }
}
