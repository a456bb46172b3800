//! Objects between the versions of a custom resource: only the `apiVersion` changes (`None`), or a webhook is asked.

mod client;
mod metadata;
mod review;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use oarlock_api::Status;
use oarlock_api::structural::Malformed;
use serde_json::Value;

use crate::compile::CustomResource;
use crate::value::{strings, text};

/// How the versions of a resource are converted. (`spec.conversion`)
#[derive(Debug, Clone, PartialEq)]
pub enum Conversion {
    /// Only the `apiVersion` changes.
    None,
    Webhook {
        /// `{url | service, caBundle}`
        client_config: Value,
        /// The versions of ConversionReview that the webhook understands, in its order of preference.
        review_versions: Vec<String>,
    },
}

/// Calls the webhooks that convert objects. The HTTP client is elsewhere.
#[async_trait]
pub trait ConversionWebhook: Send + Sync {
    /// Sends a ConversionReview to `client_config` (`{url | service, caBundle}`) and gives the answer. The error is told
    /// to the client as it is.
    async fn call(&self, client_config: &Value, review: &Value) -> Result<Value, String>;
}

impl Conversion {
    pub(crate) fn read(crd: &Value) -> Self {
        let conversion = &crd["spec"]["conversion"];
        if text(&conversion["strategy"]) != "Webhook" {
            return Self::None;
        }
        let webhook = &conversion["webhook"];
        Self::Webhook {
            client_config: webhook["clientConfig"].clone(),
            review_versions: strings(&webhook["conversionReviewVersions"]),
        }
    }
}

/// Converts objects of one resource to the version `to`; one call of the webhook for all that are not in it yet. What
/// the other version's schema does not know is dropped.
pub async fn convert(
    resource: &CustomResource,
    mut objects: Vec<Value>,
    to: &str,
    webhook: &dyn ConversionWebhook,
) -> Result<Vec<Value>, Status> {
    let wanted = format!("{}/{to}", resource.group);
    match &resource.conversion {
        Conversion::None => {
            for object in objects.iter_mut().filter(|object| text(&object["apiVersion"]) != wanted) {
                object["apiVersion"] = wanted.as_str().into();
                coerce(resource, to, object)?;
            }
            Ok(objects)
        }
        Conversion::Webhook { client_config, review_versions } => {
            let asked: Vec<usize> =
                (0..objects.len()).filter(|at| review::needs_it(&objects[*at], &wanted)).collect();
            for object in objects.iter_mut().filter(|object| review::is_empty(object)) {
                object["apiVersion"] = wanted.as_str().into();
            }
            let Some(first) = asked.first() else { return Ok(objects) };
            let kind = oarlock_api::meta::gvk(&objects[*first]);
            let failed = |why: String| Status::internal(format!("conversion webhook for {kind} {why}"));
            let uid = uuid::Uuid::new_v4().to_string();
            let sent: Vec<&Value> = asked.iter().map(|at| &objects[*at]).collect();
            let Some(request) = review::request(review_versions, &sent, &wanted, &uid) else {
                return Err(Status::internal("no supported conversion review versions"));
            };
            let answer =
                webhook.call(client_config, &request).await.map_err(|e| failed(format!("failed: {e}")))?;
            let converted =
                review::converted(&request, answer, &uid).map_err(|e| failed(format!("failed: {e}")))?;
            if converted.len() != asked.len() {
                let (got, expected) = (converted.len(), asked.len());
                return Err(failed(format!("returned {got} objects, expected {expected}")));
            }
            for (index, (at, mut new)) in asked.into_iter().zip(converted).enumerate() {
                review::check(&objects[at], &new, &wanted).map_err(|e| {
                    failed(format!("returned invalid converted object at index {index}: {e}"))
                })?;
                metadata::restore(&objects[at], &mut new).map_err(|e| {
                    failed(format!("returned invalid metadata in object at index {index}: {e}"))
                })?;
                coerce(resource, to, &mut new)?;
                objects[at] = new;
            }
            Ok(objects)
        }
    }
}

/// A converted object in the form of its new version: pruned, but without defaults.
fn coerce(resource: &CustomResource, to: &str, object: &mut Value) -> Result<(), Status> {
    let Some(version) = resource.version(to) else { return Ok(()) };
    version.coerce(object, Malformed::Refuse).map(drop).map_err(Status::internal)
}
