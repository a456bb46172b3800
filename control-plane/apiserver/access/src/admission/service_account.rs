//! ServiceAccount: every pod runs as a service account that exists, with a token to speak to the API where it wants one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oarlock_api::{GroupResource, Status};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{is, is_main, refuse};
use crate::names::MIRROR_POD_ANNOTATION;
use crate::resources::SERVICE_ACCOUNTS;
use crate::types::{AdmissionPlugin, AdmissionRequest, ObjectEvent, Objects, Operation, Phase};
use crate::value::{annotation, at, items, list_mut, name, namespace, text};

const DEFAULT: &str = "default";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// One hour, and the seven seconds by which the issuer knows tokens that may be extended. (KEP-1205)
const TOKEN_EXPIRATION_SECONDS: i64 = 60 * 60 + 7;
/// How long a new namespace's `default` account is waited for; upstream asks ten times within this.
const DEFAULT_ACCOUNT_WAIT: Duration = Duration::from_millis(1500);
const ENFORCE_MOUNTABLE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

pub struct ServiceAccount {
    objects: Arc<dyn Objects>,
}

impl ServiceAccount {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }

    async fn account(&self, request: &AdmissionRequest<'_>, account: &str) -> Result<Arc<Value>, Status> {
        match self.find(request.namespace, account).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let missing = Status::not_found(&GroupResource::new("", "serviceaccount"), account);
                Err(lookup_failed(request, account, &missing))
            }
            Err(error) => Err(lookup_failed(request, account, &error)),
        }
    }

    async fn find(&self, namespace: &str, account: &str) -> Result<Option<Arc<Value>>, Status> {
        if let Some(known) = self.objects.get(&SERVICE_ACCOUNTS, namespace, account) {
            return Ok(Some(known));
        }
        let found = self.objects.get_fresh(&SERVICE_ACCOUNTS, namespace, account).await?;
        if found.is_some() || account != DEFAULT {
            return Ok(found);
        }
        // A controller makes it soon after the namespace.
        Ok(tokio::time::timeout(DEFAULT_ACCOUNT_WAIT, self.appears(namespace, account)).await.ok().flatten())
    }

    async fn appears(&self, in_namespace: &str, account: &str) -> Option<Arc<Value>> {
        let mut events = self.objects.subscribe(&SERVICE_ACCOUNTS);
        while let Some(event) = events.recv().await {
            match event {
                ObjectEvent::Applied(found)
                    if name(&found) == account && namespace(&found) == in_namespace =>
                {
                    return Some(found);
                }
                _ => {}
            }
        }
        None
    }
}

#[async_trait]
impl AdmissionPlugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        match request.operation {
            Operation::Create => is_main(request, "", "pods"),
            _ => phase == Phase::Validate && adds_ephemeral_containers(request),
        }
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        if !is_main(request, "", "pods") {
            return Ok(());
        }
        let Some(pod) = request.object.as_deref().filter(|pod| !is_mirror(pod)) else { return Ok(()) };
        let wanted = account_name(pod);
        let account = self.account(request, &wanted).await?;
        if let Some(pod) = request.object.as_deref_mut() {
            complete(pod, &wanted, &account);
        }
        Ok(())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(pod) = request.object.as_deref() else { return Ok(()) };
        let creation = request.operation == Operation::Create;
        if is_mirror(pod) && creation {
            return check_mirror(pod).map_err(|why| refuse(request, why));
        }
        let account = self.account(request, text(pod, &["spec", "serviceAccountName"])).await?;
        if matches!(
            annotation(&account, ENFORCE_MOUNTABLE_SECRETS),
            Some("true" | "True" | "TRUE" | "t" | "T" | "1")
        ) {
            let limited =
                if creation { limit_secrets(&account, pod) } else { limit_ephemeral(&account, pod) };
            limited.map_err(|why| refuse(request, why))?;
        }
        Ok(())
    }
}

fn adds_ephemeral_containers(request: &AdmissionRequest<'_>) -> bool {
    is(request, "", "pods")
        && request.subresource == "ephemeralcontainers"
        && request.operation == Operation::Update
}

fn lookup_failed(request: &AdmissionRequest<'_>, account: &str, error: &Status) -> Status {
    let why = format!("error looking up service account {}/{account}: {error}", request.namespace);
    refuse(request, why)
}

fn is_mirror(pod: &Value) -> bool {
    annotation(pod, MIRROR_POD_ANNOTATION).is_some()
}

/// The account asked for, by either of its two field names.
fn account_name(pod: &Value) -> String {
    let given = |field| Some(text(pod, &["spec", field])).filter(|name| !name.is_empty());
    given("serviceAccountName").or_else(|| given("serviceAccount")).unwrap_or(DEFAULT).to_string()
}

fn complete(pod: &mut Value, account_name: &str, account: &Value) {
    pod["spec"]["serviceAccountName"] = account_name.into();
    pod["spec"]["serviceAccount"] = account_name.into();
    if wants_token(pod, account) {
        mount_token(pod);
    }
    let secrets = items(account, &["imagePullSecrets"]);
    if items(pod, &["spec", "imagePullSecrets"]).is_empty() && !secrets.is_empty() {
        pod["spec"]["imagePullSecrets"] = secrets.into();
    }
}

/// The pod's word counts before the account's; without one, yes.
fn wants_token(pod: &Value, account: &Value) -> bool {
    let word = |value: Option<&Value>| value.and_then(Value::as_bool);
    word(at(pod, &["spec", "automountServiceAccountToken"]))
        .or_else(|| word(at(account, &["automountServiceAccountToken"])))
        .unwrap_or(true)
}

/// Mounts the token volume into every container that has nothing at its path yet.
fn mount_token(pod: &mut Value) {
    let existing = items(pod, &["spec", "volumes"])
        .iter()
        .map(|volume| text(volume, &["name"]))
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_string);
    let volume = existing.clone().unwrap_or_else(generated_name);
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = pod["spec"][list].as_array_mut() else { continue };
        for container in containers {
            let taken =
                items(container, &["volumeMounts"]).iter().any(|m| text(m, &["mountPath"]) == MOUNT_PATH);
            if !taken {
                let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH});
                list_mut(container, "volumeMounts").push(mount);
                mounted = true;
            }
        }
    }
    if existing.is_none() && mounted {
        list_mut(&mut pod["spec"], "volumes").push(token_volume(&volume));
    }
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_EXPIRATION_SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
        },
    })
}

/// `kube-api-access-` and five of the letters that upstream's generated names are made of.
fn generated_name() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let random = Uuid::new_v4();
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    // The first bytes of a version 4 UUID are all random.
    VOLUME_PREFIX.chars().chain(random.as_bytes()[..5].iter().map(letter)).collect()
}

/// A mirror pod comes from a file on a node: it must not borrow an identity or a secret from the cluster.
fn check_mirror(pod: &Value) -> Result<(), &'static str> {
    if !text(pod, &["spec", "serviceAccountName"]).is_empty() {
        return Err("a mirror pod may not reference service accounts");
    }
    let refers = |kind| crate::pod_references::references(pod).iter().any(|(k, _)| *k == kind);
    if refers(crate::pod_references::ReferenceKind::Secret) {
        return Err("a mirror pod may not reference secrets");
    }
    let projects =
        |v: &Value| items(v, &["projected", "sources"]).iter().any(|s| s["serviceAccountToken"].is_object());
    if items(pod, &["spec", "volumes"]).iter().any(projects) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// Of an account that enforces it, only the secrets that the account lists may be used.
fn limit_secrets(account: &Value, pod: &Value) -> Result<(), String> {
    let who = name(account);
    let lists =
        |field: &str, secret: &str| items(account, &[field]).iter().any(|s| text(s, &["name"]) == secret);
    for volume in items(pod, &["spec", "volumes"]) {
        let secret = text(volume, &["secret", "secretName"]);
        if !secret.is_empty() && !lists("secrets", secret) {
            return Err(format!(
                "volume with secret.secretName={secret:?} is not allowed because service account {who} does not \
                 reference that secret"
            ));
        }
    }
    for list in ["initContainers", "containers"] {
        for container in items(pod, &["spec", list]) {
            limit_environment(container, list, who, &|secret| lists("secrets", secret))?;
        }
    }
    for (i, secret) in items(pod, &["spec", "imagePullSecrets"]).iter().enumerate() {
        let secret = text(secret, &["name"]);
        if !lists("imagePullSecrets", secret) {
            return Err(format!(
                "imagePullSecrets[{i}].name={secret:?} is not allowed because service account {who} does not \
                 reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

fn limit_ephemeral(account: &Value, pod: &Value) -> Result<(), String> {
    let lists = |secret: &str| items(account, &["secrets"]).iter().any(|s| text(s, &["name"]) == secret);
    items(pod, &["spec", "ephemeralContainers"])
        .iter()
        .try_for_each(|container| limit_environment(container, "ephemeralContainers", name(account), &lists))
}

fn limit_environment(
    container: &Value,
    list: &str,
    who: &str,
    listed: &dyn Fn(&str) -> bool,
) -> Result<(), String> {
    let kind = match list {
        "initContainers" => "init container",
        "ephemeralContainers" => "ephemeral container",
        _ => "container",
    };
    let this = name_field(container);
    for env in items(container, &["env"]) {
        let secret = text(env, &["valueFrom", "secretKeyRef", "name"]);
        if !secret.is_empty() && !listed(secret) {
            return Err(format!(
                "{kind} {this} with envVar {} referencing secret.secretName={secret:?} is not allowed because service \
                 account {who} does not reference that secret",
                name_field(env)
            ));
        }
    }
    for source in items(container, &["envFrom"]) {
        let secret = text(source, &["secretRef", "name"]);
        if !secret.is_empty() && !listed(secret) {
            return Err(format!(
                "{kind} {this} with envFrom referencing secret.secretName={secret:?} is not allowed because service \
                 account {who} does not reference that secret"
            ));
        }
    }
    Ok(())
}

fn name_field(item: &Value) -> &str {
    text(item, &["name"])
}
