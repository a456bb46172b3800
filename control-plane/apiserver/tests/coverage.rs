//! Every resource × verb × subresource that discovery lists goes through authentication, authorisation, admission and
//! audit. What upstream itself exempts stands in the lists of this file with its reason; they only shrink.

mod common;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use common::fixtures::{NAMESPACE, fixture, name_of};
use common::{Connection, TestServer, eventually, start_with};
use futures::StreamExt as _;
use http::Method;
use oarlock_apiserver::{Audit, AuditLog};
use oarlock_apiserver_webhook::testing::{Answer, TestServer as Hook};
use oarlock_store::MemoryStore;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// More users than there are cells.
const USERS: usize = 1000;

/// Whoever is believed at all may do this: upstream's roles `system:basic-user`.
const FOR_EVERYBODY: [&str; 3] =
    ["selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews"];

/// A broken webhook must not lock out those who would repair it.
const WITHOUT_WEBHOOKS: &str = "admissionregistration.k8s.io";

/// `(resource, subresource)` that need another right beside the rule of their own: `(group, resource, verb)`.
const FURTHER_RIGHTS: [(&str, &str, (&str, &str, &str)); 4] = [
    // A WebSocket opens with GET and runs commands. (AuthorizePodWebsocketUpgradeCreatePermission)
    ("pods", "attach", ("", "pods/attach", "create")),
    ("pods", "exec", ("", "pods/exec", "create")),
    ("pods", "portforward", ("", "pods/portforward", "create")),
    // The admission plugin CertificateApproval asks who may approve for this signer.
    ("certificatesigningrequests", "approval", ("certificates.k8s.io", "signers", "approve")),
];

/// What leads to a node or a pod, none of which is there: their answer is an error of after admission.
const CONNECTING: [&str; 4] = ["attach", "exec", "portforward", "proxy"];

/// One thing that can be asked for.
#[derive(Debug, Clone)]
struct Cell {
    number: usize,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    kind: String,
    namespaced: bool,
    verb: String,
}

impl Cell {
    fn user(&self) -> String {
        format!("user-{}", self.number)
    }

    fn token(&self) -> String {
        format!("token-{}", self.number)
    }

    fn on_collection(&self) -> bool {
        self.subresource.is_empty()
            && matches!(self.verb.as_str(), "list" | "watch" | "create" | "deletecollection")
    }

    fn name(&self) -> &'static str {
        if self.on_collection() { "" } else { name_of(&self.resource) }
    }

    fn namespace(&self) -> &'static str {
        match (self.namespaced, self.resource.as_str()) {
            (true, _) => NAMESPACE,
            // The path of a namespace is read as being in it.
            (false, "namespaces") => self.name(),
            _ => "",
        }
    }

    fn collection(&self) -> String {
        let root = if self.group.is_empty() { "/api".into() } else { format!("/apis/{}", self.group) };
        let namespace = if self.namespaced { format!("/namespaces/{NAMESPACE}") } else { String::new() };
        format!("{root}/{}{namespace}/{}", self.version, self.resource)
    }

    fn object(&self) -> String {
        format!("{}/{}", self.collection(), name_of(&self.resource))
    }

    fn path(&self) -> String {
        match (self.verb.as_str(), self.subresource.as_str()) {
            ("watch", "") => format!("{}?watch=true&labelSelector=cover%3Dyes", self.collection()),
            ("deletecollection", "") => format!("{}?labelSelector=cover%3Dyes", self.collection()),
            (_, "") if self.on_collection() => self.collection(),
            (_, "") => self.object(),
            (_, subresource) => format!("{}/{subresource}", self.object()),
        }
    }

    fn method(&self) -> Method {
        match self.verb.as_str() {
            "create" => Method::POST,
            "update" => Method::PUT,
            "patch" => Method::PATCH,
            "delete" | "deletecollection" => Method::DELETE,
            _ => Method::GET,
        }
    }

    fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// What admission is told of, if it is asked.
    fn operation(&self) -> Option<&'static str> {
        if self.group == WITHOUT_WEBHOOKS {
            return None;
        }
        if CONNECTING.contains(&self.subresource.as_str()) {
            return Some("CONNECT");
        }
        match self.verb.as_str() {
            "create" => Some("CREATE"),
            "update" | "patch" => Some("UPDATE"),
            "delete" | "deletecollection" => Some("DELETE"),
            _ => None,
        }
    }

    /// Upstream's words for who may not.
    fn refusal(&self) -> String {
        let qualified = if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        };
        let name = if self.name().is_empty() { String::new() } else { format!(" \"{}\"", self.name()) };
        let place = match self.namespace() {
            "" => "at the cluster scope".to_string(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        format!(
            "{qualified}{name} is forbidden: User \"nobody\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            self.verb,
            self.full_resource(),
            self.group
        )
    }
}

/// What admission or the audit saw: `(user, group, version, resource, subresource, what)`.
type Sight = [String; 6];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().into()
}

#[tokio::test]
async fn nothing_goes_past_a_step() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, dir| {
        let tokens = (0..USERS).map(|n| format!("token-{n},user-{n},{n}\n")).collect::<String>();
        config.authentication.token_file = Some(format!("{tokens}nobody,nobody,nobody\n"));
        let policy_file = dir.join("policy.yaml");
        let policy = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, users: [admin]}, {level: Metadata}]}";
        std::fs::write(&policy_file, policy).expect("written");
        let path = dir.join("audit.log").display().to_string();
        let log = AuditLog::at(path);
        config.audit = Some(Audit { policy_file, log: Some(log), webhook: None });
    })
    .await;
    furnish(&server).await;
    let cells = cells(&server).await;
    assert!(cells.len() > 450 && cells.len() < USERS, "{} cells", cells.len());
    grant(&server, &cells).await;
    let (_hook, admitted) = record(&server).await;
    let connection = server.connection().await;
    let mut faults = Vec::new();
    for cell in &cells {
        strangers(&connection, cell, &mut faults).await;
        permitted(&server, &connection, cell, &admitted, &mut faults).await;
    }
    audited(&server, &cells, &mut faults);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    server.stop().await;
}

async fn create(server: &TestServer, path: &str, object: Value) {
    let (code, answer) = server.ask(Method::POST, path, object).await;
    assert_eq!(code, 201, "{path}: {answer}");
}

/// A namespace with its service account, a role to refer to, and a definition.
async fn furnish(server: &TestServer) {
    let named = |name: &str| json!({ "metadata": { "name": name } });
    create(server, "/api/v1/namespaces", named(NAMESPACE)).await;
    create(server, &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"), named("default")).await;
    create(server, "/apis/rbac.authorization.k8s.io/v1/clusterroles", named("nothing")).await;
    let definition = json!({
        "metadata": { "name": "boats.water.example.com" },
        "spec": {
            "group": "water.example.com", "scope": "Namespaced", "names": { "plural": "boats", "kind": "Boat" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                "subresources": {
                    "status": {}, "scale": { "specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew" },
                },
            }],
        },
    });
    create(server, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    let boats = format!("/apis/water.example.com/v1/namespaces/{NAMESPACE}/boats");
    eventually("boats", async || (server.get(&boats).await.0 == 200).then_some(())).await;
}

/// What discovery lists; what makes an object comes before what needs it, and what ends it last.
async fn cells(server: &TestServer) -> Vec<Cell> {
    let mut paths = vec!["/api/v1".to_string()];
    let (_, groups) = server.get("/apis").await;
    for group in groups["groups"].as_array().expect("groups") {
        let versions = group["versions"].as_array().expect("versions");
        paths.extend(versions.iter().map(|version| format!("/apis/{}", text(&version["groupVersion"]))));
    }
    let mut cells = Vec::new();
    for path in paths {
        let (_, list) = server.get(&path).await;
        let group_version = text(&list["groupVersion"]);
        let (group, version) = group_version.split_once('/').unwrap_or(("", &group_version));
        for api in list["resources"].as_array().expect("resources") {
            let name = text(&api["name"]);
            let (resource, subresource) = name.split_once('/').unwrap_or((&name, ""));
            cells.extend(api["verbs"].as_array().expect("verbs").iter().map(|verb| Cell {
                number: 0,
                group: group.into(),
                version: version.into(),
                resource: resource.into(),
                subresource: subresource.into(),
                kind: text(&api["kind"]),
                namespaced: api["namespaced"] == true,
                verb: text(verb),
            }));
        }
    }
    let turn = |cell: &Cell| match (cell.verb.as_str(), cell.subresource.as_str()) {
        ("create", "") => 0,
        (_, "finalize") => 3,
        ("delete" | "deletecollection", "") => 4,
        (_, "") => 1,
        _ => 2,
    };
    cells.sort_by_key(|cell| {
        // A binding needs a pod.
        let resource = if cell.resource == "bindings" { "pods, bindings" } else { &cell.resource };
        (cell.group.clone(), cell.version.clone(), resource.to_string(), turn(cell))
    });
    for (number, cell) in cells.iter_mut().enumerate() {
        cell.number = number;
    }
    cells
}

/// Gives each cell's user the right to exactly that.
async fn grant(server: &TestServer, cells: &[Cell]) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let granting = cells.iter().map(|cell| async move {
        let rule = |group: &str, resource: &str, verb: &str| {
            json!({ "apiGroups": [group], "resources": [resource], "verbs": [verb] })
        };
        let mut rules = vec![rule(&cell.group, &cell.full_resource(), &cell.verb)];
        let further = FURTHER_RIGHTS.iter().filter(|(resource, subresource, _)| {
            (*resource, *subresource) == (cell.resource.as_str(), cell.subresource.as_str())
        });
        rules.extend(further.map(|(_, _, (group, resource, verb))| rule(group, resource, verb)));
        let metadata = json!({ "name": cell.user() });
        create(server, &format!("{rbac}/clusterroles"), json!({ "metadata": metadata, "rules": rules })).await;
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": cell.user() },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": cell.user() }],
        });
        create(server, &format!("{rbac}/clusterrolebindings"), binding).await;
    });
    futures::stream::iter(granting).buffer_unordered(16).collect::<Vec<()>>().await;
}

/// A validating webhook on everything, and what it has seen.
async fn record(server: &TestServer) -> (Hook, Arc<Mutex<HashSet<Sight>>>) {
    let seen: Arc<Mutex<HashSet<Sight>>> = Arc::default();
    let kept = seen.clone();
    let hook = Hook::start(&[], move |received| {
        let request = &received.body["request"];
        let resource = &request["resource"];
        kept.lock().insert([
            text(&request["userInfo"]["username"]),
            text(&resource["group"]),
            text(&resource["version"]),
            text(&resource["resource"]),
            text(&request["subResource"]),
            text(&request["operation"]),
        ]);
        Answer::json(&json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": { "uid": request["uid"], "allowed": true },
        }))
    })
    .await;
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let configuration = json!({
        "metadata": { "name": "recorder" },
        "webhooks": [{
            "name": "recorder.example.com", "clientConfig": hook.client_config("/"), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{ "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"] }],
        }],
    });
    create(server, path, configuration).await;
    (hook, seen)
}

/// Who is nobody is not believed; who has no right is refused in upstream's words.
async fn strangers(connection: &Connection, cell: &Cell, faults: &mut Vec<String>) {
    let path = cell.path();
    let nothing = |token| connection.ask(token, cell.method(), &path, "application/json", Vec::new());
    let (code, answer) = nothing(None).await;
    if (code, &answer["reason"]) != (401, &json!("Unauthorized")) {
        faults.push(format!("{} {path}: without credentials: {code} {answer}", cell.verb));
    }
    if FOR_EVERYBODY.contains(&cell.resource.as_str()) {
        return;
    }
    let (code, answer) = nothing(Some("nobody")).await;
    if (code, text(&answer["message"])) != (403, cell.refusal()) {
        faults.push(format!("{} {path}: without rights: {code} {answer}", cell.verb));
    }
}

/// The object that the cell is about is there, and has no node where it must have none.
async fn prepare(server: &TestServer, cell: &Cell) {
    let fresh = matches!(
        (cell.resource.as_str(), cell.subresource.as_str()),
        ("bindings", _) | (_, "binding" | "log")
    );
    let pods =
        Cell { resource: "pods".into(), subresource: String::new(), kind: "Pod".into(), ..cell.clone() };
    let about = if fresh { &pods } else { cell };
    if fresh {
        let path = format!("{}?gracePeriodSeconds=0", pods.object());
        server.ask_with(Method::DELETE, &path, &[], Vec::new()).await;
    }
    let review = cell.resource.ends_with("reviews") || cell.resource == "componentstatuses";
    if (cell.verb == "create" && cell.subresource.is_empty() && !fresh) || review {
        return;
    }
    if cell.resource == "customresourcedefinitions" {
        // Going, it is gone at any moment.
        let going = async || server.get(&about.object()).await.1["metadata"]["deletionTimestamp"].is_null();
        eventually("it has gone", async || going().await.then_some(())).await;
    }
    if server.get(&about.object()).await.0 == 404 {
        let object = fixture(&about.group, &about.version, &about.resource, "");
        let mut object = object.expect("it was created before");
        object.as_object_mut().expect("an object").retain(|key, _| key != "kind" && key != "apiVersion");
        create(server, &about.collection(), object).await;
    }
}

/// The body of the request.
async fn body(server: &TestServer, cell: &Cell) -> (&'static str, Value) {
    let json = "application/json";
    match (cell.verb.as_str(), cell.subresource.as_str()) {
        (_, subresource) if CONNECTING.contains(&subresource) => (json, Value::Null),
        ("create", "binding") => {
            (json, json!({ "metadata": { "name": "cover" }, "target": { "kind": "Node", "name": "n" } }))
        }
        ("create", "eviction") => (json, json!({ "metadata": { "name": "cover" } })),
        ("create", "token") => (json, json!({ "spec": { "audiences": [] } })),
        ("create", _) => {
            let object = fixture(&cell.group, &cell.version, &cell.resource, &cell.kind);
            (json, object.unwrap_or_else(|| panic!("the table of fixtures lacks {cell:?}")))
        }
        ("update", "scale") => (json, server.get(&cell.path()).await.1),
        ("update", "approval") => {
            let mut object = server.get(&cell.object()).await.1;
            let condition =
                json!({ "type": "Approved", "status": "True", "reason": "Test", "message": "yes" });
            object["status"]["conditions"] = json!([condition]);
            (json, object)
        }
        ("update", _) => (json, server.get(&cell.object()).await.1),
        ("patch", "scale") => ("application/merge-patch+json", json!({ "spec": { "replicas": 0 } })),
        ("patch", _) => {
            ("application/merge-patch+json", json!({ "metadata": { "annotations": { "a": "b" } } }))
        }
        _ => (json, Value::Null),
    }
}

/// Who has exactly this right is let through, and admission sees it.
async fn permitted(
    server: &TestServer,
    connection: &Connection,
    cell: &Cell,
    admitted: &Mutex<HashSet<Sight>>,
    faults: &mut Vec<String>,
) {
    prepare(server, cell).await;
    let token = cell.token();
    let (code, answer) = loop {
        let (media, body) = body(server, cell).await;
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        if cell.verb == "watch" {
            let head = connection.open(Some(&token), cell.method(), &cell.path(), media, body).await;
            break (head.status().as_u16(), Value::Null);
        }
        let (code, answer) = connection.ask(Some(&token), cell.method(), &cell.path(), media, body).await;
        // A keeper of the server's own may have written between.
        if cell.verb != "update" || code != 409 {
            break (code, answer);
        }
    };
    let connects = CONNECTING.contains(&cell.subresource.as_str());
    let passed = (200..300).contains(&code) || (connects && !(401..=405).contains(&code));
    if !passed {
        faults.push(format!("{} {}: with the right: {code} {answer}", cell.verb, cell.path()));
    }
    let [group, version, resource, subresource] =
        [&cell.group, &cell.version, &cell.resource, &cell.subresource].map(Clone::clone);
    let seen: BTreeSet<Sight> =
        admitted.lock().iter().filter(|sight| sight[0] == cell.user()).cloned().collect();
    let want = cell.operation().map(|what| [cell.user(), group, version, resource, subresource, what.into()]);
    if seen != want.into_iter().collect() {
        faults.push(format!("{} {}: admission saw {seen:?}", cell.verb, cell.path()));
    }
}

/// Each was written down three times: for nobody, for who may not, and for who may.
fn audited(server: &TestServer, cells: &[Cell], faults: &mut Vec<String>) {
    let log = std::fs::read_to_string(server.dir.path().join("audit.log")).expect("a log");
    let mut told: HashSet<(Sight, u64)> = HashSet::new();
    for event in log.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event")) {
        let reference = &event["objectRef"];
        let sight = [
            text(&event["user"]["username"]),
            text(&reference["apiGroup"]),
            text(&reference["apiVersion"]),
            text(&reference["resource"]),
            text(&reference["subresource"]),
            text(&event["verb"]),
        ];
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        told.insert((sight, if event["stage"] == "RequestReceived" { 0 } else { code }));
    }
    for cell in cells {
        let sight = |user: &str| -> Sight {
            [user, &cell.group, &cell.version, &cell.resource, &cell.subresource, &cell.verb].map(Into::into)
        };
        let refused =
            FOR_EVERYBODY.contains(&cell.resource.as_str()) || told.contains(&(sight("nobody"), 403));
        let own = sight(&cell.user());
        let answered = told.iter().any(|(seen, code)| *seen == own && *code >= 200);
        if !told.contains(&(sight(""), 401)) || !refused || !answered || !told.contains(&(own, 0)) {
            faults.push(format!("{} {}: the audit lacks it", cell.verb, cell.path()));
        }
    }
}
