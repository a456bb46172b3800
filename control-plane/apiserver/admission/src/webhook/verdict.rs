//! The answer that webhooks give, and what their refusals say. (`plugin/webhook/request`, `plugin/webhook/errors`)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::{Status, codec};
use serde_json::Value;

use super::review::ReviewVersion;
use crate::value::{text, texts};

/// What a webhook says of a request.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) allowed: bool,
    result: Value,
    /// A JSON patch as text.
    pub(super) patch: Option<Vec<u8>>,
    pub(super) patch_type: String,
    pub(super) warnings: Vec<String>,
    /// Keys without the webhook's name.
    pub(super) audit: Vec<(String, String)>,
}

/// Reads an answer; the error is upstream's text behind `failed calling webhook "x": `.
pub(super) fn read(
    version: ReviewVersion,
    uid: &str,
    mutating: bool,
    body: &[u8],
) -> Result<Verdict, String> {
    if body.is_empty() {
        return Err(
            "failed to call webhook: 0-length response with status code: 200 and content type: ".into()
        );
    }
    let review = codec::json::parse(body)
        .map_err(|e| format!("failed to call webhook: couldn't get version/kind; json parse error: {e}"))?;
    check(version, uid, mutating, &review).map_err(|why| format!("received invalid webhook response: {why}"))
}

fn check(version: ReviewVersion, uid: &str, mutating: bool, review: &Value) -> Result<Verdict, String> {
    let response = &review["response"];
    if !response.is_object() {
        return Err("webhook response was absent".into());
    }
    if version == ReviewVersion::V1 {
        identity(uid, review)?;
    }
    let encoded = text(response, &["patch"]);
    let patch = STANDARD.decode(encoded).map_err(|_| "response.patch is not base64".to_string())?;
    let patch_type = response["patchType"].as_str();
    let patch_type = match (version, mutating) {
        (ReviewVersion::V1, true) => paired(!patch.is_empty(), patch_type)?,
        (ReviewVersion::V1, false) => {
            if !patch.is_empty() {
                return Err("validating webhook may not return response.patch".into());
            }
            if patch_type.is_some() {
                return Err("validating webhook may not return response.patchType".into());
            }
            ""
        }
        (ReviewVersion::V1Beta1, _) => "JSONPatch",
    };
    let audit = response["auditAnnotations"].as_object().into_iter().flatten();
    Ok(Verdict {
        allowed: response["allowed"] == true,
        result: response["status"].clone(),
        patch: Some(patch).filter(|patch| mutating && !patch.is_empty()),
        patch_type: patch_type.to_string(),
        warnings: texts(response, &["warnings"]),
        audit: audit
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_string()))
            .collect(),
    })
}

/// In v1 an answer must say what it is and whose.
fn identity(uid: &str, review: &Value) -> Result<(), String> {
    let told = text(review, &["response", "uid"]);
    if told != uid {
        return Err(format!("expected response.uid={uid:?}, got {told:?}"));
    }
    let (api_version, kind) = (text(review, &["apiVersion"]), text(review, &["kind"]));
    if (api_version, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
        let api_version = if api_version.is_empty() { "/" } else { api_version };
        return Err(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {api_version}, Kind={kind}"
        ));
    }
    Ok(())
}

fn paired(patch: bool, patch_type: Option<&str>) -> Result<&str, String> {
    match (patch, patch_type) {
        (true, None) => Err("webhook returned response.patch but not response.patchType".into()),
        (false, Some(_)) => Err("webhook returned response.patchType but not response.patch".into()),
        (true, Some("")) => Err("webhook returned invalid response.patchType of \"\"".into()),
        (_, patch_type) => Ok(patch_type.unwrap_or_default()),
    }
}

impl Verdict {
    /// What the client is told of a refusal.
    pub(super) fn refusal(&self, webhook: &str) -> Status {
        let (message, reason) = (text(&self.result, &["message"]), text(&self.result, &["reason"]));
        let by = format!("admission webhook {webhook:?} denied the request");
        let told = match (message, reason) {
            ("", "") => format!("{by} without explanation"),
            ("", reason) => format!("{by}: {reason}"),
            (message, _) => format!("{by}: {message}"),
        };
        let code = self.result["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
        let mut status = Status::new(code.clamp(400, 599), reason, told);
        status.details = serde_json::from_value(self.result["details"].clone()).ok().flatten();
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn review(response: Value) -> Vec<u8> {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        review.to_string().into_bytes()
    }

    #[test]
    fn answers_that_break_the_contract_are_not_taken() {
        let check = |mutating: bool, body: &[u8], want: &str| {
            let got = read(ReviewVersion::V1, "u", mutating, body).map(|_| ()).expect_err(want);
            assert_eq!(got, want);
        };
        check(
            true,
            b"",
            "failed to call webhook: 0-length response with status code: 200 and content type: ",
        );
        check(true, b"{}", "received invalid webhook response: webhook response was absent");
        check(
            true,
            &review(json!({"uid": "x"})),
            "received invalid webhook response: expected response.uid=\"u\", got \"x\"",
        );
        check(
            true,
            br#"{"response":{"uid":"u"}}"#,
            "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, \
             got /, Kind=",
        );
        check(
            true,
            &review(json!({"uid": "u", "patch": "W10="})),
            "received invalid webhook response: webhook returned response.patch but not response.patchType",
        );
        check(
            false,
            &review(json!({"uid": "u", "patch": "W10=", "patchType": "JSONPatch"})),
            "received invalid webhook response: validating webhook may not return response.patch",
        );
        let old = read(ReviewVersion::V1Beta1, "u", true, br#"{"response":{"allowed":true,"patch":"W10="}}"#);
        assert_eq!(old.expect("v1beta1 asks for less").patch.as_deref(), Some(&b"[]"[..]));
    }

    #[test]
    fn refusals_read_as_upstreams() {
        let check = |result: Value, want: (u16, &str, &str)| {
            let body = review(json!({"uid": "u", "allowed": false, "status": result}));
            let status = read(ReviewVersion::V1, "u", false, &body).expect("a good answer").refusal("h.test");
            assert_eq!((status.code, status.reason.as_str(), status.message.as_str()), want);
        };
        check(Value::Null, (400, "", "admission webhook \"h.test\" denied the request without explanation"));
        check(
            json!({"message": "no", "code": 200}),
            (400, "", "admission webhook \"h.test\" denied the request: no"),
        );
        check(
            json!({"reason": "Forbidden", "code": 403}),
            (403, "Forbidden", "admission webhook \"h.test\" denied the request: Forbidden"),
        );
    }
}
