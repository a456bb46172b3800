//! Paths and operations of a resource.

use serde_json::{Map, Value, json};

use super::Version;
use super::custom::{CustomApi, model_name};
use super::parameters::{Action, in_path, of_options, pretty};
use super::paths::Writer;
use super::schema::{META, Schemas};
use crate::table::{Resource, Table};

pub(super) const BODIES: [&str; 3] =
    ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMS: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Custom resources know neither protobuf nor strategic merge.
const CUSTOM_BODIES: [&str; 2] = ["application/json", "application/yaml"];
const CUSTOM_PATCHES: [&str; 3] =
    ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
const CUSTOM_VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const CUSTOM_SUB_VERBS: [&str; 3] = ["get", "patch", "update"];

/// Deletions answer with the deleted object.
const GIVEN_BACK: [(&str, &str); 16] = [
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "pods"),
    ("", "podtemplates"),
    ("", "resourcequotas"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourceclaimtemplates"),
    ("resource.k8s.io", "resourceslices"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"),
    ("storage.k8s.io", "volumeattributesclasses"),
];

/// Whether the deletion of one of these objects answers with it; of the others it answers with a Status.
pub fn deletion_gives_object(group: &str, plural: &str) -> bool {
    GIVEN_BACK.contains(&(group, plural))
}

/// A resource as paths tell of it, wherever it comes from.
pub(super) struct Api<'r> {
    group: &'r str,
    version: &'r str,
    plural: &'r str,
    kind: &'r str,
    namespaced: bool,
    verbs: &'r [&'static str],
    subresources: Vec<Sub<'r>>,
    custom: Option<&'r dyn CustomApi>,
}

struct Sub<'r> {
    name: &'r str,
    group: &'r str,
    version: &'r str,
    kind: &'r str,
    verbs: &'r [&'static str],
}

impl<'r> From<&'r Resource> for Api<'r> {
    fn from(resource: &'r Resource) -> Self {
        let sub = |sub: &'r crate::table::Subresource| Sub {
            name: sub.name,
            group: sub.kind.group,
            version: sub.kind.version,
            kind: sub.kind.kind,
            verbs: &sub.verbs,
        };
        Self {
            group: resource.group,
            version: resource.version,
            plural: resource.plural,
            kind: resource.kind,
            namespaced: resource.namespaced,
            verbs: &resource.verbs,
            subresources: resource.subresources.iter().map(sub).collect(),
            custom: None,
        }
    }
}

impl<'r> From<&'r dyn CustomApi> for Api<'r> {
    fn from(api: &'r dyn CustomApi) -> Self {
        let sub = |name, group, version, kind| Sub { name, group, version, kind, verbs: &CUSTOM_SUB_VERBS };
        let status = api.has_status().then(|| sub("status", api.group(), api.version(), api.kind()));
        let scale = api.has_scale().then(|| sub("scale", "autoscaling", "v1", "Scale"));
        Self {
            group: api.group(),
            version: api.version(),
            plural: api.plural(),
            kind: api.kind(),
            namespaced: api.namespaced(),
            verbs: &CUSTOM_VERBS,
            subresources: status.into_iter().chain(scale).collect(),
            custom: Some(api),
        }
    }
}

/// The group as it stands in operation ids and tags: `rbac.authorization.k8s.io` is `rbacAuthorization`.
pub(super) fn group_name(group: &str) -> String {
    if group.is_empty() {
        return "core".to_string();
    }
    let parts = group.strip_suffix(".k8s.io").unwrap_or(group).split(['.', '-']);
    parts.enumerate().map(|(i, part)| if i == 0 { part.to_string() } else { title(part) }).collect()
}

pub(super) fn title(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What the operations of one path have in common.
struct Place<'r> {
    table: &'static Table,
    version: Version,
    resource: &'r Api<'r>,
    sub: Option<&'r Sub<'r>>,
    namespaced: bool,
    all_namespaces: bool,
    /// `…/proxy/{path}`
    with_path: bool,
}

/// Writes all paths of a resource under `root` (`apis/apps/v1`).
pub(super) fn write_resource(
    table: &'static Table,
    version: Version,
    root: &str,
    resource: &Api<'_>,
    writer: &mut Writer,
    schemas: &mut Schemas<'_>,
) {
    let namespaced = resource.namespaced;
    let place =
        Place { table, version, resource, sub: None, namespaced, all_namespaces: false, with_path: false };
    let plural = resource.plural;
    let scope = if namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = [
        ("list", "get", Action::List),
        ("create", "post", Action::Create),
        ("deletecollection", "delete", Action::DeleteCollection),
    ];
    let item = [
        ("get", "get", Action::Get),
        ("update", "put", Action::Update),
        ("patch", "patch", Action::Patch),
        ("delete", "delete", Action::Delete),
    ];

    place.write(&format!("/{root}{scope}/{plural}"), &collection, resource.verbs, writer, schemas);
    if namespaced && resource.verbs.contains(&"list") {
        let everywhere = Place { namespaced: false, all_namespaces: true, ..place };
        everywhere.write(&format!("/{root}/{plural}"), &collection[..1], resource.verbs, writer, schemas);
    }
    place.write(&format!("/{root}{scope}/{plural}/{{name}}"), &item, resource.verbs, writer, schemas);
    for sub in &resource.subresources {
        let path = format!("/{root}{scope}/{plural}/{{name}}/{}", sub.name);
        let place = Place { sub: Some(sub), ..place };
        if is_connect(sub) {
            let connect = ["get", "post", "put", "patch", "delete"]
                .map(|method| (verb(method), method, Action::Connect));
            place.write(&path, &connect, sub.verbs, writer, schemas);
            if sub.name == "proxy" {
                let place = Place { with_path: true, ..place };
                place.write(&format!("{path}/{{path}}"), &connect, sub.verbs, writer, schemas);
            }
        } else {
            let sub_item = [item[0], ("create", "post", Action::Create), item[1], item[2], item[3]];
            place.write(&path, &sub_item, sub.verbs, writer, schemas);
        }
    }
}

fn is_connect(sub: &Sub<'_>) -> bool {
    matches!(sub.name, "attach" | "exec" | "portforward" | "proxy")
}

fn verb(method: &'static str) -> &'static str {
    match method {
        "post" => "create",
        "put" => "update",
        other => other,
    }
}

impl Place<'_> {
    fn write(
        &self,
        path: &str,
        candidates: &[(&'static str, &'static str, Action)],
        verbs: &[&str],
        writer: &mut Writer,
        schemas: &mut Schemas<'_>,
    ) {
        let mut item = Map::new();
        for (verb, method, action) in candidates {
            if verbs.contains(verb) {
                item.insert((*method).to_string(), self.operation(method, *action, schemas));
            }
        }
        if item.is_empty() {
            return;
        }
        let mut parameters = Vec::new();
        let kind = self.resource.kind;
        if path.contains("{name}") {
            parameters.push(in_path("name", &format!("name of the {kind}"), self.version));
        }
        if self.namespaced {
            parameters.push(in_path(
                "namespace",
                "object name and auth scope, such as for teams and projects",
                self.version,
            ));
        }
        if self.with_path {
            parameters.push(in_path("path", "path to the resource", self.version));
        }
        match self.sub.filter(|sub| is_connect(sub) || sub.name == "log") {
            Some(sub) => {
                let options = if sub.name == "log" { "PodLogOptions" } else { sub.kind };
                let options = self.table.type_of(sub.group, sub.version, options);
                let given = options.map(|id| of_options(self.table, id, self.version)).unwrap_or_default();
                parameters.extend(given.into_iter().filter(|p| !(self.with_path && p["name"] == "path")));
            }
            None => parameters.push(pretty(self.version)),
        }
        item.insert("parameters".to_string(), Value::Array(parameters));
        writer.member(path, &Value::Object(item));
    }

    fn gvk(&self) -> (&str, &str, &str) {
        match self.sub {
            Some(sub) => (sub.group, sub.version, sub.kind),
            None => (self.resource.group, self.resource.version, self.resource.kind),
        }
    }

    fn operation(&self, method: &str, action: Action, schemas: &mut Schemas<'_>) -> Value {
        let (group, version, kind) = if self.resource.custom.is_some() {
            // Also for the scale of a custom resource, upstream names its own kind.
            (self.resource.group, self.resource.version, self.resource.kind)
        } else {
            self.gvk()
        };
        let patches: &[&str] = if self.resource.custom.is_some() { &CUSTOM_PATCHES } else { &PATCHES };
        let tag = format!("{}_{}", group_name(self.resource.group), self.resource.version);
        let mut operation = json!({
            "operationId": self.operation_id(method, action),
            "description": self.description(method, action),
            "tags": [tag],
            "schemes": ["https"],
            "x-kubernetes-action": action.name(),
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        });
        let mut parameters = action.query(self.version);
        let body = self.body(action, schemas);
        let result = self.result(action, schemas);
        match self.version {
            Version::V2 => {
                operation["produces"] = json!(self.produced(action));
                operation["consumes"] = if action == Action::Patch { json!(patches) } else { json!(["*/*"]) };
                if let Some((schema, required)) = body {
                    parameters
                        .push(json!({"name": "body", "in": "body", "required": required, "schema": schema}));
                }
            }
            Version::V3 => {
                operation.as_object_mut().expect("it was made as an object").remove("schemes");
                if let Some((schema, required)) = body {
                    let types: &[&str] = if action == Action::Patch { patches } else { &["*/*"] };
                    operation["requestBody"] = json!({"content": content(types, &schema)});
                    if required {
                        operation["requestBody"]["required"] = true.into();
                    }
                }
            }
        }
        operation["responses"] = self.responses(action, &result);
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        operation
    }

    fn produced(&self, action: Action) -> Vec<&'static str> {
        match action {
            _ if self.resource.custom.is_some() => CUSTOM_BODIES.to_vec(),
            Action::Connect => vec!["*/*"],
            Action::List => BODIES.into_iter().chain(STREAMS).collect(),
            _ => BODIES.to_vec(),
        }
    }

    fn type_name(&self, kind: &str) -> String {
        let (group, version, _) = self.gvk();
        if self.resource.custom.is_some() && group == self.resource.group {
            return model_name(group, version, kind);
        }
        let id = self.table.type_of(group, version, kind);
        id.map_or_else(|| format!("{META}{kind}"), |id| self.table.ty(id).name.to_string())
    }

    /// The schema of the request's body, and whether there must be one.
    fn body(&self, action: Action, schemas: &mut Schemas<'_>) -> Option<(Value, bool)> {
        match action {
            Action::Create | Action::Update => Some((schemas.reference(&self.type_name(self.gvk().2)), true)),
            Action::Patch => Some((schemas.reference(&format!("{META}Patch")), true)),
            Action::Delete | Action::DeleteCollection => {
                Some((schemas.reference(&format!("{META}DeleteOptions")), false))
            }
            Action::List | Action::Get | Action::Connect => None,
        }
    }

    /// The schema of what a success gives.
    fn result(&self, action: Action, schemas: &mut Schemas<'_>) -> Value {
        if self.sub.is_some_and(|sub| sub.name == "log") || action == Action::Connect {
            return json!({"type": "string"});
        }
        match action {
            Action::List => {
                // Watches answer on the same path; their frames are part of the document.
                schemas.reference(&format!("{META}WatchEvent"));
                let list = match self.resource.custom {
                    Some(api) => api.list_kind().to_string(),
                    None => format!("{}List", self.gvk().2),
                };
                schemas.reference(&self.type_name(&list))
            }
            Action::Delete if self.gives_back() => schemas.reference(&self.type_name(self.gvk().2)),
            Action::Delete | Action::DeleteCollection => schemas.reference(&format!("{META}Status")),
            _ => schemas.reference(&self.type_name(self.gvk().2)),
        }
    }

    fn gives_back(&self) -> bool {
        self.sub.is_none() && deletion_gives_object(self.resource.group, self.resource.plural)
    }

    fn responses(&self, action: Action, result: &Value) -> Value {
        let codes: &[(&str, &str)] = match action {
            Action::Create => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
            Action::Update | Action::Patch => &[("200", "OK"), ("201", "Created")],
            Action::Delete => &[("200", "OK"), ("202", "Accepted")],
            _ => &[("200", "OK")],
        };
        let mut responses = Map::new();
        for (code, description) in codes {
            let response = match self.version {
                Version::V2 => json!({"description": description, "schema": result}),
                Version::V3 => {
                    json!({"description": description, "content": content(&self.produced(action), result)})
                }
            };
            responses.insert((*code).to_string(), response);
        }
        responses.insert("401".to_string(), json!({"description": "Unauthorized"}));
        Value::Object(responses)
    }

    /// Upstream's: `listCoreV1NamespacedPod`, `replaceAppsV1NamespacedDeploymentScale`.
    fn operation_id(&self, method: &str, action: Action) -> String {
        let verb = match action {
            Action::List => "list",
            Action::Get => "read",
            Action::Create => "create",
            Action::Update => "replace",
            Action::Patch => "patch",
            Action::Delete | Action::DeleteCollection => "delete",
            Action::Connect => "connect",
        };
        let group = format!("{}{}", title(&group_name(self.resource.group)), title(self.resource.version));
        let many = if action == Action::DeleteCollection { "Collection" } else { "" };
        let method = if action == Action::Connect { title(method) } else { String::new() };
        let scope = if self.namespaced { "Namespaced" } else { "" };
        let sub = self.sub.map(|sub| title(sub.name)).unwrap_or_default();
        let path = if self.with_path { "WithPath" } else { "" };
        let all = if self.all_namespaces { "ForAllNamespaces" } else { "" };
        format!("{verb}{group}{many}{method}{scope}{}{sub}{path}{all}", self.resource.kind)
    }

    fn description(&self, method: &str, action: Action) -> String {
        let kind = self.resource.kind;
        let object = match self.sub {
            Some(sub) => format!("{} of the specified {kind}", sub.name),
            None => format!("the specified {kind}"),
        };
        match action {
            Action::List => format!("list or watch objects of kind {kind}"),
            Action::Get => format!("read {object}"),
            Action::Create => format!("create {}", self.sub.map_or_else(|| format!("a {kind}"), |_| object)),
            Action::Update => format!("replace {object}"),
            Action::Patch => format!("partially update {object}"),
            Action::Delete => format!("delete a {kind}"),
            Action::DeleteCollection => format!("delete collection of {kind}"),
            Action::Connect => format!("connect {} requests to {object}", method.to_uppercase()),
        }
    }
}

pub(super) fn content(types: &[&str], schema: &Value) -> Value {
    Value::Object(types.iter().map(|media| ((*media).to_string(), json!({"schema": schema}))).collect())
}
