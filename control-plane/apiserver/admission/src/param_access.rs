//! Who configures a policy with params must be able to read them: else a policy would read for its writer what the
//! writer may not. Upstream has this in the storage layer of the four kinds.

use async_trait::async_trait;
use oarlock_api::{FieldError, GroupResource, GroupVersionKind, Path, Status};
use oarlock_apiserver_access::{
    AdmissionPlugin, AdmissionRequest, Attributes, Decision, Operation, Phase, User,
};
use serde_json::Value;

use crate::World;
use crate::facts::Facts;
use crate::value::text;
use crate::world::GROUP;

/// Wire it behind the validating plugins.
pub struct PolicyParamAccess {
    world: World,
}

/// What must be readable.
struct Wanted {
    group: String,
    version: String,
    resource: String,
    namespace: String,
    name: String,
}

impl PolicyParamAccess {
    pub fn new(world: World) -> Self {
        Self { world }
    }
}

#[async_trait]
impl AdmissionPlugin for PolicyParamAccess {
    fn name(&self) -> &'static str {
        "PolicyParamAccess"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate
            && *request.resource.group == *GROUP
            && request.subresource.is_empty()
            && request.resource.resource.contains("admissionpolic")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(object) = request.object.as_deref().filter(|_| self.concerns(Phase::Validate, request))
        else {
            return Ok(());
        };
        let (new, old) = (&object["spec"], request.old_object.map(|old| &old["spec"]));
        let field = if request.resource.resource.contains("bindings") { "paramRef" } else { "paramKind" };
        let policy_name = |spec: &Value| text(spec, &["policyName"]).to_string();
        let same = |old: &Value| old[field] == new[field] && policy_name(old) == policy_name(new);
        let superuser = request.user.groups.iter().any(|group| group == "system:masters");
        if new[field].is_null() || superuser || old.is_some_and(same) {
            return Ok(());
        }
        let told = match field {
            "paramRef" => self.binding(request, new).await,
            _ => self.policy(request, &new["paramKind"]).await,
        };
        told.map_err(|why| {
            let facts = Facts::of(request);
            let errors = [FieldError::forbidden(Path::new("spec").child(field), why)];
            Status::invalid(&request.kind.group_kind(), &facts.name, &errors)
        })
    }
}

impl PolicyParamAccess {
    /// All of the group, version and kind; of all there are where it is not known.
    fn wanted(&self, kind: Option<&Value>) -> Wanted {
        let any = || "*".to_string();
        let mut wanted =
            Wanted { group: any(), version: any(), resource: any(), namespace: any(), name: any() };
        let Some(kind) = kind else { return wanted };
        let kind = GroupVersionKind::from_api_version(text(kind, &["apiVersion"]), text(kind, &["kind"]));
        (wanted.group, wanted.version) = (kind.group.to_string(), kind.version.to_string());
        if let Some(served) = self.world.surface.resource_of_kind(&kind) {
            wanted.resource = served.resource.resource.to_string();
        }
        wanted
    }

    async fn policy(&self, request: &AdmissionRequest<'_>, kind: &Value) -> Result<(), String> {
        if self.may_read(request.user, self.wanted(Some(kind))).await {
            return Ok(());
        }
        Err(format!(
            "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
            told(request.user),
            text(kind, &["kind"]),
            text(kind, &["apiVersion"])
        ))
    }

    async fn binding(&self, request: &AdmissionRequest<'_>, spec: &Value) -> Result<(), String> {
        let policies = match request.resource.resource.starts_with("mutating") {
            true => "mutatingadmissionpolicies",
            false => "validatingadmissionpolicies",
        };
        let resource = GroupResource::new(GROUP, policies);
        let policy = self.world.objects.get(&resource, "", text(spec, &["policyName"]));
        let kind =
            policy.as_deref().map(|policy| &policy["spec"]["paramKind"]).filter(|kind| !kind.is_null());
        let mut wanted = self.wanted(kind);
        wanted.namespace = text(spec, &["paramRef", "namespace"]).to_string();
        wanted.name = text(spec, &["paramRef", "name"]).to_string();
        if self.may_read(request.user, wanted).await {
            return Ok(());
        }
        Err(format!(
            "user {} does not have \"get\" permission on the object referenced by paramRef",
            told(request.user)
        ))
    }

    async fn may_read(&self, user: &std::sync::Arc<User>, wanted: Wanted) -> bool {
        let attributes = Attributes {
            group: wanted.group,
            version: wanted.version,
            resource: wanted.resource,
            namespace: wanted.namespace,
            name: wanted.name,
            ..Attributes::of_resources(user.clone(), "get")
        };
        matches!(self.world.authorizer.authorize(&attributes).await, Decision::Allow(_))
    }
}

/// As Go prints a user.
fn told(user: &User) -> String {
    let extra: Vec<String> =
        user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oarlock_api::GroupVersionResource;
    use serde_json::json;

    use super::*;
    use crate::testing::{Sent, put, world};

    #[tokio::test]
    async fn writers_of_policies_can_read_their_params() {
        let (world, objects) = world();
        let kind = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "p"}, "spec": {"paramKind": kind}});
        put(&objects, "validatingadmissionpolicies", policy.clone());
        let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "b"}, "spec": {"policyName": "p", "paramRef": {"name": "x"}}});
        let plugin = PolicyParamAccess::new(world);
        let check = async |object: &Value, user: &str, want: Result<(), &str>| {
            let resource = if object["kind"] == policy["kind"] {
                "validatingadmissionpolicies"
            } else {
                "validatingadmissionpolicybindings"
            };
            let mut sent = Sent::create(GroupVersionResource::new(GROUP, "v1", resource), object.clone());
            sent.user = Arc::new(User { name: user.into(), groups: vec!["staff".into()], ..User::default() });
            let got = plugin.validate(&sent.request()).await.map_err(|status| status.message);
            assert_eq!(got, want.map_err(str::to_string));
        };
        check(&policy, "admin", Ok(())).await;
        check(&binding, "admin", Ok(())).await;
        check(
            &policy,
            "alice",
            Err("ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: spec.paramKind: Forbidden: user \
                 &{alice  [staff] map[]} must have \"get\" permission on all objects of the referenced paramKind \
                 (kind=ConfigMap, apiVersion=v1)"),
        )
        .await;
        check(
            &binding,
            "alice",
            Err("ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io \"b\" is invalid: spec.paramRef: Forbidden: \
                 user &{alice  [staff] map[]} does not have \"get\" permission on the object referenced by paramRef"),
        )
        .await;
    }
}
