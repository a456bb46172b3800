//! Which group versions other servers answer for, read from the APIServices. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A group version that another server answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Of the APIService.
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) service: String,
    pub(crate) port: u16,
    pub(crate) ca_pem: Option<String>,
    pub(crate) insecure: bool,
    /// What its last check found.
    pub(crate) available: bool,
}

impl Backend {
    /// The backend of an APIService; none where this server itself answers.
    fn of(api_service: &Value) -> Option<Self> {
        let spec = &api_service["spec"];
        let service = spec.get("service").filter(|service| service.is_object())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let ca = spec["caBundle"].as_str().and_then(|bundle| STANDARD.decode(bundle).ok());
        let conditions = api_service["status"]["conditions"].as_array().into_iter().flatten();
        Some(Self {
            name: text(&api_service["metadata"]["name"]),
            group: text(&spec["group"]),
            version: text(&spec["version"]),
            namespace: text(&service["namespace"]),
            service: text(&service["name"]),
            port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            ca_pem: ca.and_then(|pem| String::from_utf8(pem).ok()),
            insecure: spec["insecureSkipTLSVerify"] == true,
            available: conditions.into_iter().any(|c| c["type"] == "Available" && c["status"] == "True"),
        })
    }

    /// Where requests of this group version lie.
    pub(crate) fn root(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }

    /// What the certificate of the server must be for.
    pub(crate) fn tls_name(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }
}

/// All backends, by group and version.
#[derive(Debug, Default)]
pub(crate) struct Backends {
    by_group: HashMap<String, Vec<Arc<Backend>>>,
}

impl Backends {
    pub(crate) fn of(api_services: &[Arc<Value>]) -> Self {
        let mut by_group: HashMap<String, Vec<Arc<Backend>>> = HashMap::new();
        for backend in api_services.iter().filter_map(|service| Backend::of(service)) {
            by_group.entry(backend.group.clone()).or_default().push(Arc::new(backend));
        }
        Self { by_group }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_group.is_empty()
    }

    pub(crate) fn find(&self, group: &str, version: &str) -> Option<&Arc<Backend>> {
        self.by_group.get(group)?.iter().find(|backend| backend.version == version)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.by_group.values().flatten()
    }

    /// The backend that a path belongs to: `/apis/GROUP/VERSION` and what is below it.
    pub(crate) fn of_path(&self, path: &str) -> Option<&Arc<Backend>> {
        let mut parts = path.strip_prefix("/apis/")?.split('/');
        self.find(parts.next()?, parts.next()?)
    }
}

/// What a check of an APIService found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Availability {
    pub(crate) available: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Availability {
    pub(crate) fn local() -> Self {
        let message = "Local APIServices are always available".into();
        Self { available: true, reason: "Local", message }
    }

    pub(crate) fn passed() -> Self {
        Self { available: true, reason: "Passed", message: "all checks passed".into() }
    }

    pub(crate) fn failed(reason: &'static str, message: String) -> Self {
        Self { available: false, reason, message }
    }
}

/// What is wrong with a backend's Service before anybody asks the server behind it.
pub(crate) fn service_fault(
    backend: &Backend,
    service: Option<&Value>,
    slices: &[Arc<Value>],
) -> Option<Availability> {
    let (name, namespace, port) = (&backend.service, &backend.namespace, backend.port);
    let Some(service) = service else {
        let message = format!("service/{name} in {namespace:?} is not present");
        return Some(Availability::failed("ServiceNotFound", message));
    };
    if service["spec"]["type"] == "ExternalName" {
        return None;
    }
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let Some(of_service) = ports.into_iter().find(|p| p["port"].as_u64() == Some(u64::from(port))) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Some(Availability::failed("ServicePortError", message));
    };
    let mut own = slices
        .iter()
        .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name.as_str())
        .peekable();
    if own.peek().is_none() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(Availability::failed("EndpointsNotFound", message));
    }
    let port_name = of_service["name"].as_str().unwrap_or_default();
    let serves = |slice: &Arc<Value>| {
        let any = |list: &Value, test: &dyn Fn(&Value) -> bool| {
            list.as_array().is_some_and(|list| list.iter().any(test))
        };
        any(&slice["ports"], &|p| p["name"].as_str().unwrap_or_default() == port_name)
            && any(&slice["endpoints"], &|end| end["conditions"]["ready"] != false)
    };
    if !own.any(serves) {
        let message = format!(
            "endpoints for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
        );
        return Some(Availability::failed("MissingEndpoints", message));
    }
    None
}

/// The status with the condition, where it says something new.
pub(crate) fn with_condition(api_service: &Value, found: &Availability, now: &str) -> Option<Value> {
    let status = if found.available { "True" } else { "False" };
    let old = api_service["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let before = old.iter().find(|c| c["type"] == "Available");
    if before.is_some_and(|c| {
        c["status"] == status && c["reason"] == found.reason && c["message"] == found.message.as_str()
    }) {
        return None;
    }
    let since =
        before.filter(|c| c["status"] == status).map_or(json!(now), |c| c["lastTransitionTime"].clone());
    let mut conditions: Vec<Value> = old.into_iter().filter(|c| c["type"] != "Available").collect();
    conditions.push(json!({
        "type": "Available", "status": status, "lastTransitionTime": since, "reason": found.reason,
        "message": found.message,
    }));
    Some(json!({ "conditions": conditions }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_service() -> Arc<Value> {
        Arc::new(json!({
            "metadata": { "name": "v1.wardle.example.com" },
            "spec": {
                "group": "wardle.example.com", "version": "v1", "insecureSkipTLSVerify": true,
                "service": { "namespace": "n", "name": "api", "port": 7443 },
            },
        }))
    }

    #[test]
    fn paths_find_their_backend() {
        let local = Arc::new(json!({ "spec": { "group": "apps", "version": "v1" } }));
        let backends = Backends::of(&[api_service(), local]);
        let check = |path: &str, want: bool| assert_eq!(backends.of_path(path).is_some(), want, "{path}");
        check("/apis/wardle.example.com/v1", true);
        check("/apis/wardle.example.com/v1/namespaces/a/flunders", true);
        check("/apis/wardle.example.com", false);
        check("/apis/wardle.example.com/v1beta1", false);
        check("/apis/apps/v1", false);
        check("/api/v1", false);
    }

    #[test]
    fn services_are_checked_in_upstreams_order() {
        let backends = Backends::of(&[api_service()]);
        let backend = backends.all().next().expect("there is one");
        let check = |service: Option<Value>, slices: &[Value], want: &str| {
            let slices: Vec<_> = slices.iter().cloned().map(Arc::new).collect();
            let found = service_fault(backend, service.as_ref(), &slices);
            assert_eq!(found.map_or("", |fault| fault.reason), want);
        };
        let service = json!({ "spec": { "ports": [{ "name": "https", "port": 7443 }] } });
        let slice = |ready: bool, port: &str| {
            json!({
                "metadata": { "labels": { "kubernetes.io/service-name": "api" } }, "ports": [{ "name": port }],
                "endpoints": [{ "conditions": { "ready": ready } }],
            })
        };
        check(None, &[], "ServiceNotFound");
        check(Some(json!({ "spec": { "ports": [{ "port": 443 }] } })), &[], "ServicePortError");
        check(Some(service.clone()), &[], "EndpointsNotFound");
        check(Some(service.clone()), &[slice(false, "https")], "MissingEndpoints");
        check(Some(service.clone()), &[slice(true, "http")], "MissingEndpoints");
        check(Some(service), &[slice(true, "https")], "");
        check(Some(json!({ "spec": { "type": "ExternalName" } })), &[], "");
    }

    #[test]
    fn a_condition_is_written_when_it_changes() {
        let first = with_condition(&api_service(), &Availability::passed(), "then").expect("it is new");
        assert_eq!(first["conditions"][0]["lastTransitionTime"], "then");
        let mut known = Value::clone(&api_service());
        known["status"] = first;
        assert!(with_condition(&known, &Availability::passed(), "now").is_none());
        let failed = Availability::failed("ServiceNotFound", "gone".into());
        let second = with_condition(&known, &failed, "now").expect("it changed");
        assert_eq!(
            (&second["conditions"][0]["status"], second["conditions"].as_array().map(Vec::len)),
            (&json!("False"), Some(1))
        );
        assert_eq!(second["conditions"][0]["lastTransitionTime"], "now");
    }
}
