//! How a command's end is written on the error stream: a `metav1.Status` since v4, plain text before.

use serde_json::{Value, json};

use crate::{Exit, StreamingError};

/// What is written for an end; `None` is nothing.
pub(crate) fn encode(exit: &Exit, structured: bool) -> Option<Vec<u8>> {
    let status = match exit {
        Exit::Success | Exit::Code(0) => json!({"metadata": {}, "status": "Success"}),
        Exit::Code(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Exit::Error(message) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("Internal error occurred: {message}"),
            "reason": "InternalError",
            "details": {"causes": [{"message": message}]},
            "code": 500,
        }),
    };
    if structured {
        return Some(status.to_string().into_bytes());
    }
    status["message"].as_str().map(|message| message.as_bytes().to_vec())
}

/// What a client reads on the error stream.
pub(crate) fn decode(bytes: &[u8]) -> Result<Exit, StreamingError> {
    if bytes.is_empty() {
        return Err(StreamingError::Disconnected);
    }
    let protocol = |reason: &str| StreamingError::Protocol { reason: reason.to_string() };
    let status: Value =
        serde_json::from_slice(bytes).map_err(|_| protocol("the error stream is no Status"))?;
    if status["status"] == "Success" {
        return Ok(Exit::Success);
    }
    let message = status["message"].as_str().unwrap_or_default();
    if status["reason"] != "NonZeroExitCode" {
        return Ok(Exit::Error(message.to_string()));
    }
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    let code =
        causes.filter(|cause| cause["reason"] == "ExitCode").find_map(|cause| cause["message"].as_str());
    let code =
        code.and_then(|code| code.parse().ok()).ok_or_else(|| protocol("no exit code in the Status"))?;
    Ok(Exit::Code(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_written() {
        let check = |exit: Exit, want: Exit| {
            let bytes = encode(&exit, true).expect("a structured status is never empty");
            assert_eq!(decode(&bytes).expect("a status"), want);
        };
        check(Exit::Success, Exit::Success);
        check(Exit::Code(0), Exit::Success);
        check(Exit::Code(137), Exit::Code(137));
        check(Exit::Error("no shim".into()), Exit::Error("Internal error occurred: no shim".into()));
    }

    #[test]
    fn before_v4_only_failures_are_told() {
        assert_eq!(encode(&Exit::Success, false), None);
        let text = encode(&Exit::Code(3), false).expect("a failure");
        assert_eq!(text, b"command terminated with non-zero exit code: exit status 3");
    }
}
