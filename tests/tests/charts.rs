//! Helm, with a small chart of this test's own.

use oarlock_testkit::{Cluster, Output, Settings, kubectl_path};

const CHART: &str = "apiVersion: v2\nname: small\nversion: 1.0.0\nkubeVersion: '>=1.36.0'\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-settings\n  labels: {app: small}\n\
    data:\n  colour: {{ .Values.colour | quote }}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}}\n\
    spec:\n  selector: {app: small}\n  ports: [{port: {{ .Values.port }}}]\n";
const COLOUR: [&str; 5] = ["get", "configmap", "one-settings", "-o", "jsonpath={.data.colour}"];

#[test]
fn a_chart_is_installed_changed_undone_and_removed() {
    let cluster = Cluster::start(Settings::default()).expect("a cluster");
    let chart = cluster.scratch().join("small");
    std::fs::create_dir_all(chart.join("templates")).expect("made");
    for (file, text) in
        [("Chart.yaml", CHART), ("values.yaml", "colour: blue\nport: 80\n"), ("templates/all.yaml", TEMPLATE)]
    {
        std::fs::write(chart.join(file), text).expect("written");
    }
    let chart = chart.display().to_string();
    let address = ["get", "service", "one", "-o", "jsonpath={.spec.clusterIP} {.spec.ports[0].port}"];

    let installed = helm(&cluster, &["install", "one", &chart, "--wait", "--server-side=false"]);
    assert!(installed.ok && installed.stdout.contains("STATUS: deployed"), "{installed:?}");
    assert_eq!(cluster.kubectl(&COLOUR), "blue");
    let before = cluster.kubectl(&address);
    let changed = helm(
        &cluster,
        &["upgrade", "one", &chart, "--set", "colour=red,port=81", "--wait", "--server-side=false"],
    );
    assert!(changed.ok, "{changed:?}");
    assert_eq!(cluster.kubectl(&COLOUR), "red");
    assert_eq!(cluster.kubectl(&address), before.replace(" 80", " 81"), "the address stays");
    let undone = helm(&cluster, &["rollback", "one", "1", "--wait", "--server-side=false"]);
    assert!(undone.ok, "{undone:?}");
    assert_eq!((cluster.kubectl(&COLOUR), cluster.kubectl(&address)), ("blue".into(), before));
    let history = helm(&cluster, &["history", "one"]);
    assert!(history.stdout.contains("Rollback to 1"), "{history:?}");
    let removed = helm(&cluster, &["uninstall", "one", "--wait"]);
    assert!(removed.ok, "{removed:?}");
    assert!(cluster.try_kubectl(&COLOUR).stderr.contains("NotFound"));
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
