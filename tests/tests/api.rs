//! The API as bytes: what is refused and in which words, who may do what, and the less travelled representations.

use oarlock_testkit::{Answer, Cluster, Settings, Who};
use serde_json::json;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "Content-Type: application/json";

#[test]
fn the_api_as_bytes() {
    let cluster = Cluster::start(Settings::default()).expect("a cluster");
    bodies(&cluster);
    field_validation(&cluster);
    wrong_addresses(&cluster);
    strangers(&cluster);
    restricted_accounts(&cluster);
    representations(&cluster);
    discovery_and_explain(&cluster);
    tables(&cluster);
    watches(&cluster);
}

fn admin(cluster: &Cluster, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    cluster.http(Who::Admin, method, path, headers, body).expect("an answer")
}

/// A Status of this code and reason, whose message holds these words.
#[track_caller]
fn refused(answer: &Answer, code: u16, reason: &str, message: &str) {
    assert_eq!(answer.code, code, "{answer:?}");
    assert_eq!(
        (answer.field("/kind").as_str(), answer.field("/status").as_str()),
        ("Status", "Failure"),
        "{answer:?}"
    );
    assert_eq!(
        (answer.field("/code"), answer.field("/reason")),
        (code.to_string(), reason.to_string()),
        "{answer:?}"
    );
    assert!(answer.field("/message").contains(message), "wanted {message:?}: {answer:?}");
}

fn bodies(cluster: &Cluster) {
    let post = |headers: &[&str], body: &str| admin(cluster, "POST", MAPS, headers, body);
    refused(&post(&[JSON], "{\"kind\":"), 400, "BadRequest", "");
    refused(
        &post(&[JSON], r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":[1]}}"#),
        400,
        "BadRequest",
        "cannot",
    );
    refused(
        &post(&["Content-Type: text/plain"], "{}"),
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format",
    );
    let large = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "x".repeat(4 << 20)}});
    refused(&post(&[JSON], &large.to_string()), 413, "RequestEntityTooLarge", "limit is 3145728");
    refused(
        &post(&[JSON], r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}"#),
        400,
        "BadRequest",
        "Secret in version \"v1\" cannot be handled as a ConfigMap",
    );
    refused(
        &post(&[JSON], r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}"#),
        422,
        "Invalid",
        "name or generateName is required",
    );
    refused(
        &post(
            &[JSON],
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"other"}}"#,
        ),
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
    );
    let made = post(&[JSON], r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"some-"}}"#);
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(made.field("/metadata/name").len(), "some-".len() + 5);
    let dry =
        admin(cluster, "POST", &format!("{MAPS}?dryRun=All"), &[JSON], r#"{"metadata":{"name":"dry"}}"#);
    assert_eq!(dry.code, 201, "{dry:?}");
    refused(
        &admin(cluster, "GET", &format!("{MAPS}/dry"), &[], ""),
        404,
        "NotFound",
        "configmaps \"dry\" not found",
    );
    let patch = admin(cluster, "PATCH", &format!("{MAPS}/kube-root-ca.crt"), &[JSON], "{}");
    refused(&patch, 415, "UnsupportedMediaType", "415: Unsupported Media Type");
}

fn field_validation(cluster: &Cluster) {
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"loose"},"dat":{},"data":{"a":"1","a":"2"}}"#;
    let ask = |how: &str| {
        admin(cluster, "POST", &format!("{MAPS}?dryRun=All&fieldValidation={how}"), &[JSON], body)
    };
    let strict = ask("Strict");
    refused(&strict, 400, "BadRequest", "strict decoding error: ");
    let message = strict.field("/message");
    assert!(
        message.contains("unknown field \"dat\"") && message.contains("duplicate field \"data.a\""),
        "{message}"
    );
    let warned = ask("Warn");
    assert_eq!(warned.code, 201);
    assert!(warned.headers.contains("warning: 299 - \"unknown field \\\"dat\\\"\""), "{}", warned.headers);
    let ignored = ask("Ignore");
    assert_eq!(ignored.code, 201);
    assert!(!ignored.headers.contains("warning:"), "{}", ignored.headers);
    assert_eq!(ignored.field("/dat"), "", "pruned");
    refused(&ask("Nonsense"), 422, "Invalid", "fieldValidation");
}

fn wrong_addresses(cluster: &Cluster) {
    let get = |path: &str| admin(cluster, "GET", path, &[], "");
    let nowhere = get("/api/v1/nonsense");
    refused(&nowhere, 404, "NotFound", "the server could not find the requested resource");
    for path in ["/apis/nonsense.example/v1", "/apis/apps/v9/deployments", "/nowhere"] {
        assert_eq!(get(path).code, 404, "{path}");
    }
    let selector = get(&format!("{MAPS}?labelSelector=a%20b%20c"));
    refused(&selector, 400, "BadRequest", "unable to parse requirement");
    let field = get(&format!("{MAPS}?fieldSelector=data.a%3Db"));
    refused(
        &field,
        400,
        "BadRequest",
        "is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    );
    let accept = admin(cluster, "GET", MAPS, &["Accept: text/csv"], "");
    assert_eq!(accept.code, 406, "{accept:?}");
    let yaml = admin(cluster, "GET", &format!("{MAPS}/kube-root-ca.crt"), &["Accept: application/yaml"], "");
    assert!(yaml.code == 200 && yaml.body.starts_with("apiVersion: v1\n"), "{yaml:?}");
}

fn strangers(cluster: &Cluster) {
    let ask = |who: Who<'_>, path: &str| cluster.http(who, "GET", path, &[], "").expect("an answer");
    refused(&ask(Who::Bearer("not-a-token"), MAPS), 401, "Unauthorized", "Unauthorized");
    let nobody = ask(Who::Nobody, MAPS);
    assert!(
        nobody.code == 401
            || nobody.field("/message").contains("configmaps is forbidden: User \"system:anonymous\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""),
        "{nobody:?}"
    );
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(ask(Who::Nobody, path).code, 200, "{path}");
    }
}

fn restricted_accounts(cluster: &Cluster) {
    cluster.kubectl(&["create", "serviceaccount", "reader"]);
    cluster.kubectl(&["create", "role", "reader", "--verb=get,list", "--resource=configmaps"]);
    cluster.kubectl(&["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader"]);
    let token = cluster.kubectl(&["create", "token", "reader", "--duration=10m"]);
    let token = token.trim();
    cluster.wait_for(
        &["auth", "can-i", "list", "configmaps", "--as=system:serviceaccount:default:reader"],
        |said| said == "yes\n",
    );
    let ask = |method: &str, path: &str| {
        cluster.http(Who::Bearer(token), method, path, &[], "").expect("an answer")
    };
    assert_eq!(ask("GET", MAPS).code, 200);
    refused(
        &ask("GET", "/api/v1/namespaces/default/secrets"),
        403,
        "Forbidden",
        "secrets is forbidden: User \"system:serviceaccount:default:reader\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"",
    );
    refused(
        &ask("DELETE", "/api/v1/nodes/node-1"),
        403,
        "Forbidden",
        "nodes \"node-1\" is forbidden: User \"system:serviceaccount:default:reader\" cannot delete resource \"nodes\" in API group \"\" at the cluster scope",
    );
    let no = cluster.try_kubectl(&[
        "auth",
        "can-i",
        "delete",
        "pods",
        "--as=system:serviceaccount:default:reader",
    ]);
    assert_eq!((no.code, no.stdout.as_str()), (Some(1), "no\n"));
    let me = cluster.kubectl(&[
        "auth",
        "whoami",
        "--as=jane",
        "--as-group=team",
        "-o",
        "jsonpath={.status.userInfo}",
    ]);
    assert!(
        me.contains("\"jane\"") && me.contains("\"team\"") && me.contains("system:authenticated"),
        "{me}"
    );
    let other = cluster.kubectl(&["create", "token", "reader", "--audience=somebody-else"]);
    refused(
        &cluster.http(Who::Bearer(other.trim()), "GET", MAPS, &[], "").expect("an answer"),
        401,
        "Unauthorized",
        "Unauthorized",
    );
    // Nobody gives away what he does not have.
    cluster.kubectl(&[
        "create",
        "clusterrole",
        "giver",
        "--verb=create,bind",
        "--resource=roles.rbac.authorization.k8s.io",
    ]);
    cluster.kubectl(&["create", "clusterrolebinding", "giver", "--clusterrole=giver", "--user=giver"]);
    let more =
        cluster.try_kubectl(&["create", "role", "more", "--verb=get", "--resource=secrets", "--as=giver"]);
    assert!(
        more.stderr.contains("is attempting to grant RBAC permissions not currently held"),
        "{}",
        more.stderr
    );
    // A token of a deleted account is worth nothing.
    cluster.kubectl(&["delete", "serviceaccount", "reader"]);
    assert_eq!(ask("GET", MAPS).code, 401);
}

fn representations(cluster: &Cluster) {
    let protobuf =
        admin(cluster, "GET", "/api/v1/nodes", &["Accept: application/vnd.kubernetes.protobuf"], "");
    assert!(
        protobuf.headers.contains("content-type: application/vnd.kubernetes.protobuf"),
        "{}",
        protobuf.headers
    );
    assert!(protobuf.body.starts_with("k8s\0") && protobuf.body.contains("node-1"));
    let metadata = "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let partial = admin(cluster, "GET", "/api/v1/nodes", &[metadata], "");
    assert_eq!(partial.field("/kind"), "PartialObjectMetadataList");
    assert_eq!(
        (partial.field("/items/0/metadata/name").as_str(), partial.field("/items/0/status").as_str()),
        ("node-1", "")
    );
    let table =
        admin(cluster, "GET", "/api/v1/nodes", &["Accept: application/json;as=Table;g=meta.k8s.io;v=v1"], "");
    assert_eq!(table.field("/kind"), "Table");
    assert_eq!(table.field("/rows/0/cells/0"), "node-1");
    let zipped = admin(cluster, "GET", "/openapi/v2", &["Accept-Encoding: gzip"], "");
    assert!(zipped.headers.contains("content-encoding: gzip"), "{}", zipped.headers);
}

fn discovery_and_explain(cluster: &Cluster) {
    let accept = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let aggregated = admin(cluster, "GET", "/apis", &[accept], "");
    assert_eq!(aggregated.field("/kind"), "APIGroupDiscoveryList");
    assert!(aggregated.body.contains("\"deployments\""));
    assert_eq!(admin(cluster, "GET", "/apis", &[], "").field("/kind"), "APIGroupList");
    let resources = cluster.kubectl(&["api-resources", "--sort-by=name"]);
    for line in ["deployments", "endpointslices", "customresourcedefinitions"] {
        assert!(resources.lines().any(|row| row.starts_with(line)), "{line}: {resources}");
    }
    assert!(cluster.kubectl(&["api-versions"]).lines().any(|version| version == "networking.k8s.io/v1"));
    let explained = cluster.kubectl(&["explain", "pod.spec.containers.livenessProbe.httpGet"]);
    for part in ["KIND:       Pod", "FIELD: httpGet <HTTPGetAction>", "port\t<IntOrString> -required-"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    // Read from protobuf, as everything does that asks client-go for the schema.
    let explained = cluster.kubectl(&["explain", "deployment.spec.replicas", "--output=plaintext-openapiv2"]);
    for part in ["KIND:     Deployment", "VERSION:  apps/v1", "FIELD:    replicas <integer>"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
}

fn tables(cluster: &Cluster) {
    let header = |arguments: &[&str]| {
        let text = cluster.kubectl(&[&["get"], arguments].concat());
        text.lines()
            .next()
            .unwrap_or_default()
            .split("  ")
            .filter(|c| !c.is_empty())
            .map(|c| c.trim().to_string())
            .collect::<Vec<_>>()
            .join("|")
    };
    let want = [
        (
            &["pods", "-A", "-o", "wide"][..],
            "NAMESPACE|NAME|READY|STATUS|RESTARTS|AGE|IP|NODE|NOMINATED NODE|READINESS GATES",
        ),
        (
            &["nodes", "-o", "wide"],
            "NAME|STATUS|ROLES|AGE|VERSION|INTERNAL-IP|EXTERNAL-IP|OS-IMAGE|KERNEL-VERSION|CONTAINER-RUNTIME",
        ),
        (
            &["deployments", "-A", "-o", "wide"],
            "NAMESPACE|NAME|READY|UP-TO-DATE|AVAILABLE|AGE|CONTAINERS|IMAGES|SELECTOR",
        ),
        (&["services", "-o", "wide"], "NAME|TYPE|CLUSTER-IP|EXTERNAL-IP|PORT(S)|AGE|SELECTOR"),
        (&["configmaps"], "NAME|DATA|AGE"),
        (&["namespaces"], "NAME|STATUS|AGE"),
        (&["clusterrolebindings", "-o", "wide"], "NAME|ROLE|AGE|USERS|GROUPS|SERVICEACCOUNTS"),
        (&["endpointslices"], "NAME|ADDRESSTYPE|PORTS|ENDPOINTS|AGE"),
        (&["leases", "-A"], "NAMESPACE|NAME|HOLDER|AGE"),
        (&["priorityclasses"], "NAME|VALUE|GLOBAL-DEFAULT|AGE|PREEMPTIONPOLICY"),
    ];
    for (arguments, columns) in want {
        assert_eq!(header(arguments), columns, "{arguments:?}");
    }
}

fn watches(cluster: &Cluster) {
    let gone = admin(cluster, "GET", &format!("{MAPS}?resourceVersion=999999999"), &[], "");
    refused(&gone, 504, "Timeout", "Too large resource version");
    let invalid = admin(cluster, "GET", &format!("{MAPS}?watch=1&resourceVersion=abc"), &[], "");
    // As upstream: a fault of the cacher that nobody makes a Status of.
    refused(&invalid, 500, "", "resourceVersion: Invalid value: \"abc\"");
    let version = admin(cluster, "GET", MAPS, &[], "").field("/metadata/resourceVersion");
    cluster.kubectl(&["create", "configmap", "watched"]);
    let path = format!("{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=1&allowWatchBookmarks=true");
    let events = admin(cluster, "GET", &path, &[], "");
    let first: serde_json::Value =
        serde_json::from_str(events.body.lines().next().unwrap_or_default()).expect("an event");
    assert_eq!((&first["type"], &first["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("watched")));
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1&allowWatchBookmarks=true"
    );
    let streamed = admin(cluster, "GET", &path, &[], "");
    assert!(streamed.body.contains("\"k8s.io/initial-events-end\":\"true\""), "{streamed:?}");
    let expired = admin(cluster, "GET", &format!("{MAPS}?limit=1&continue=bm90LWEtdG9rZW4"), &[], "");
    refused(&expired, 400, "BadRequest", "continue key is not valid");
}
