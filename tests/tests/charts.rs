//! Helm, with a small chart of this test's own: objects, a definition, and an instance of it. Helm 4 applies on the server.

use oarlock_testkit::{Cluster, Output, Settings, kubectl_path};

const CHART: &str = "apiVersion: v2\nname: small\nversion: 1.0.0\nkubeVersion: '>=1.36.0'\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-settings\n  labels: {app: small}\n\
    data:\n  colour: {{ .Values.colour | quote }}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}}\n\
    spec:\n  selector: {app: small}\n  ports: [{port: {{ .Values.port }}}]\n\
    ---\napiVersion: water.example.com/v1\nkind: Boat\nmetadata: {name: {{ .Release.Name }}}\n\
    spec: {colour: {{ .Values.colour | quote }}}\n";
const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.water.example.com}
spec:
  group: water.example.com
  scope: Namespaced
  names: {plural: boats, kind: Boat}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {colour: {type: string}}}}}}
"#;
const COLOUR: [&str; 5] = ["get", "configmap", "one-settings", "-o", "jsonpath={.data.colour}"];

#[test]
fn a_chart_is_installed_changed_undone_and_removed() {
    let cluster = Cluster::start(Settings::default()).expect("a cluster");
    let chart = cluster.scratch().join("small");
    for folder in ["templates", "crds"] {
        std::fs::create_dir_all(chart.join(folder)).expect("made");
    }
    let values = "colour: blue\nport: 80\n";
    for (file, text) in [
        ("Chart.yaml", CHART),
        ("values.yaml", values),
        ("templates/all.yaml", TEMPLATE),
        ("crds/boats.yaml", DEFINITION),
    ] {
        std::fs::write(chart.join(file), text).expect("written");
    }
    let chart = chart.display().to_string();
    let address = ["get", "service", "one", "-o", "jsonpath={.spec.clusterIP} {.spec.ports[0].port}"];

    let installed = helm(&cluster, &["install", "one", &chart, "--wait"]);
    assert!(installed.ok && installed.stdout.contains("STATUS: deployed"), "{installed:?}");
    assert_eq!(cluster.kubectl(&COLOUR), "blue");
    let managers =
        ["get", "boat", "one", "-o", "jsonpath={.spec.colour} {.metadata.managedFields[*].operation}"];
    assert_eq!(cluster.kubectl(&managers), "blue Apply", "applied on the server");
    let before = cluster.kubectl(&address);
    let changed = helm(&cluster, &["upgrade", "one", &chart, "--set", "colour=red,port=81", "--wait"]);
    assert!(changed.ok, "{changed:?}");
    assert_eq!(cluster.kubectl(&COLOUR), "red");
    assert_eq!(cluster.kubectl(&address), before.replace(" 80", " 81"), "the address stays");
    let undone = helm(&cluster, &["rollback", "one", "1", "--wait"]);
    assert!(undone.ok, "{undone:?}");
    assert_eq!((cluster.kubectl(&COLOUR), cluster.kubectl(&address)), ("blue".into(), before));
    let history = helm(&cluster, &["history", "one"]);
    assert!(history.stdout.contains("Rollback to 1"), "{history:?}");
    let removed = helm(&cluster, &["uninstall", "one", "--wait"]);
    assert!(removed.ok, "{removed:?}");
    assert!(cluster.try_kubectl(&COLOUR).stderr.contains("NotFound"));
    assert_eq!(
        cluster.kubectl(&["get", "boats", "-o", "name"]),
        "",
        "the definition stays, its instance does not"
    );
    assert_eq!(
        cluster.kubectl(&["get", "secrets", "-l", "owner=helm", "-o", "name"]),
        "",
        "no record is left"
    );
}

/// helm stands beside kubectl.
fn helm(cluster: &Cluster, arguments: &[&str]) -> Output {
    let helm = kubectl_path().replace("kubectl", "helm");
    let kubeconfig = format!("--kubeconfig={}", cluster.data_dir().join("kubeconfig").display());
    cluster.on_node(&helm, &[arguments, &[&kubeconfig]].concat())
}
