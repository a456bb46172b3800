//! The paths of discovery: what upstream's documents tell of besides resources.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Version;
use super::operations::{BODIES, content, group_name, title};
use super::paths::Writer;
use super::schema::{META, Schemas, VERSION_INFO};

/// A path with one document of its own, which is read with GET.
pub(super) struct Root {
    /// In the index: `apis/apps`.
    pub(super) path: String,
    tag: String,
    description: &'static str,
    operation: String,
    media: &'static [&'static str],
    /// The name of the answer's type; a text where there is none.
    answer: Option<String>,
}

const JSON: &[&str] = &["application/json"];
const JWKS: &[&str] = &["application/jwk-set+json"];

/// The roots of a server with these groups.
pub(super) fn all<'g>(groups: impl Iterator<Item = &'g str>) -> Vec<Root> {
    let root = |path: &str, tag: &str, description, operation: &str, kind: &str| Root {
        path: path.to_string(),
        tag: tag.to_string(),
        description,
        operation: operation.to_string(),
        media: &BODIES,
        answer: Some(format!("{META}{kind}")),
    };
    let text = |path: &str, tag: &str, description, operation: &str, media| Root {
        media,
        answer: None,
        ..root(path, tag, description, operation, "")
    };
    let versions = "get available API versions";
    let mut all = vec![
        root("api", "core", versions, "getCoreAPIVersions", "APIVersions"),
        root("apis", "apis", versions, "getAPIVersions", "APIGroupList"),
        Root {
            media: JSON,
            answer: Some(VERSION_INFO.to_string()),
            ..root("version", "version", "get the version of this server", "getCodeVersion", "")
        },
        text(
            ".well-known/openid-configuration",
            "WellKnown",
            "get the OpenID configuration of the issuer of service account tokens",
            "getServiceAccountIssuerOpenIDConfiguration",
            JSON,
        ),
        text(
            "openid/v1/jwks",
            "openid",
            "get the public keys that service account tokens are verified with",
            "getServiceAccountIssuerOpenIDKeyset",
            JWKS,
        ),
    ];
    let groups: BTreeSet<&str> = groups.filter(|group| !group.is_empty()).collect();
    all.extend(groups.into_iter().map(|group| {
        let name = group_name(group);
        let operation = format!("get{}APIGroup", title(&name));
        root(&format!("apis/{group}"), &name, "get information of a group", &operation, "APIGroup")
    }));
    all
}

/// What is served in one version of a group, as the first path of its document.
pub(super) fn resources(root: &str, group: &str, version: &str) -> Root {
    let name = group_name(group);
    Root {
        path: root.to_string(),
        tag: format!("{name}_{version}"),
        description: "get available resources",
        operation: format!("get{}{}APIResources", title(&name), title(version)),
        media: &BODIES,
        answer: Some(format!("{META}APIResourceList")),
    }
}

impl Root {
    pub(super) fn write(&self, version: Version, writer: &mut Writer, schemas: &mut Schemas<'_>) {
        let schema = match &self.answer {
            Some(name) => schemas.reference(name),
            None => json!({"type": "string"}),
        };
        let mut get = json!({
            "tags": [self.tag], "description": self.description, "operationId": self.operation,
        });
        let answer = match version {
            Version::V2 => {
                get["schemes"] = json!(["https"]);
                if self.answer.is_some() {
                    get["consumes"] = json!(self.media);
                }
                get["produces"] = json!(self.media);
                json!({"description": "OK", "schema": schema})
            }
            Version::V3 => json!({"description": "OK", "content": content(self.media, &schema)}),
        };
        get["responses"] = json!({"200": answer, "401": {"description": "Unauthorized"}});
        let item: Value = json!({"get": get});
        writer.member(&format!("/{}/", self.path), &item);
    }
}
