//! `WebhookAdmissionConfiguration`: the part of the admission configuration that is for a webhook plugin.

use std::path::Path;

use oarlock_apiserver_webhook::Authentication;
use serde_json::Value;

use crate::value::text;

/// Who the server is to the webhooks. An absent configuration (null) is nobody.
pub(super) fn authentication(configuration: &Value) -> Result<Authentication, String> {
    if configuration.is_null() {
        return Ok(Authentication::default());
    }
    let (group, version) = oarlock_api::gvk::split_api_version(text(configuration, &["apiVersion"]));
    let kind = text(configuration, &["kind"]);
    let known = matches!(
        (group, version, kind),
        ("apiserver.config.k8s.io", "v1", "WebhookAdmissionConfiguration")
            | ("apiserver.config.k8s.io", "v1alpha1", "WebhookAdmission")
    );
    if !known {
        return Err(format!("no kind {kind:?} is registered for version \"{group}/{version}\""));
    }
    let file = text(configuration, &["kubeConfigFile"]);
    if file.is_empty() {
        return Ok(Authentication::default());
    }
    if !Path::new(file).is_absolute() {
        return Err(format!("kubeConfigFile: Invalid value: {file:?}: must be an absolute file path"));
    }
    Authentication::from_kubeconfig(Path::new(file)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn configurations_name_an_absolute_file() {
        let check = |kind: &str, file: &str, want: Option<&str>| {
            let value =
                json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": kind, "kubeConfigFile": file});
            let got = authentication(&value).err();
            assert_eq!(got.is_some(), want.is_some(), "{got:?}");
            assert!(got.unwrap_or_default().contains(want.unwrap_or_default()));
        };
        assert!(authentication(&Value::Null).is_ok());
        check("WebhookAdmissionConfiguration", "", None);
        check("WebhookAdmissionConfiguration", "x", Some("must be an absolute file path"));
        check("WebhookAdmissionConfiguration", "/nowhere/at/all", Some("/nowhere/at/all"));
        check("Other", "", Some("no kind \"Other\" is registered"));
    }
}
