//! What people do with kubectl and custom resources: each command and what it says.

use oarlock_testkit::{Cluster, Settings};

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.water.example.com}
spec:
  group: water.example.com
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat, shortNames: [bt], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        description: A boat.
        properties:
          spec:
            type: object
            properties:
              oars: {type: integer, description: How many oars it has.}
              colour: {type: string}
              crew: {type: integer}
          status:
            type: object
            properties:
              crew: {type: integer}
              conditions: {type: array, items: {type: object, properties: {type: {type: string}, status: {type: string}}}}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.crew, statusReplicasPath: .status.crew}
    additionalPrinterColumns: [{name: Oars, type: integer, jsonPath: .spec.oars}]
"#;
const BOAT: &str = "{apiVersion: water.example.com/v1, kind: Boat, metadata: {name: a}, spec: {oars: 2, colour: red, crew: 1}}";
const MAP: &str = r#"{apiVersion: v1, kind: ConfigMap, metadata: {name: shared}, data: {k: "1"}}"#;
const OTHER: &str = r#"{apiVersion: v1, kind: ConfigMap, metadata: {name: shared}, data: {k: "2"}}"#;
/// Of the common name `cover`, for `example.com/cover`.
const REQUEST: &str = "{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: csr}, spec: {signerName: \
    example.com/cover, usages: [client auth], request: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISk1ISUNBUUF3RURFT01Bd0dBMVVFQXd3RlkyOTJaWEl3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPUFFNQgpCd05DQUFUNnNEQllkdEptZkg1NHBvMC9nQk5Jd05VQm9Id1F1RDBlSUMxbG1SdnlEOUFDOE5acFROMGJiYVZ6CkJLYms5RlJQOGg5cEo0U2p0aFdhK0ZTZWZhUGVvQUF3Q2dZSUtvWkl6ajBFQXdJRFJ3QXdSQUlnU2ZkcldSdUsKUEZyMGRkYU11citBYm55QmZycHpvNW00ZzY1TjM5VnkvajBDSURTcTNJVnRPVHVFSXBoeWdFYnhYYWo0Tm1WNQpKMEtlb29VSGNHLzR4TmlnCi0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=}}";

/// The command, its input, and what it says; after a `!` what it fails with.
const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "apply -f -",
        DEFINITION,
        "customresourcedefinition.apiextensions.k8s.io/boats.water.example.com created",
    ),
    ("wait --for=condition=Established crd/boats.water.example.com", "", "condition met"),
    ("explain boat.spec.oars", "", "How many oars it has."),
    ("explain boats --recursive", "", "  spec\t<Object>\n    colour\t<string>"),
    (
        "api-resources --api-group=water.example.com",
        "",
        "boats   bt           water.example.com/v1   true         Boat",
    ),
    ("apply -f -", BOAT, "boat.water.example.com/a created"),
    ("get bt", "", "NAME   OARS\na      2\n"),
    ("get all", "", "boat.water.example.com/a   2"),
    ("scale boat a --replicas=4", "", "boat.water.example.com/a scaled"),
    ("get boat a -o jsonpath={.spec.crew}", "", "4"),
    (
        "apply --server-side -f -",
        BOAT,
        "!conflict with \"kubectl\" with subresource \"scale\" using water.example.com/v1: .spec.crew",
    ),
    ("apply --server-side --force-conflicts -f -", BOAT, "boat.water.example.com/a serverside-applied"),
    ("label boat a side=port", "", "boat.water.example.com/a labeled"),
    ("get boats -l side=port -o name", "", "boat.water.example.com/a"),
    ("annotate boat a note=dry", "", "boat.water.example.com/a annotated"),
    (r#"patch boat a --type=merge -p {"spec":{"colour":"blue"}}"#, "", "patched"),
    (
        r#"patch boat a --type=json -p [{"op":"replace","path":"/spec/colour","value":"green"}]"#,
        "",
        "patched",
    ),
    (
        "patch boat a -p {}",
        "",
        "!application/strategic-merge-patch+json is not supported by water.example.com/v1, Kind=Boat",
    ),
    (
        r#"patch boat a --subresource=status --type=merge -p {"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#,
        "",
        "patched",
    ),
    ("wait boat/a --for=condition=Ready", "", "condition met"),
    ("wait boat/a --for=jsonpath={.spec.colour}=green", "", "condition met"),
    ("diff -f -", BOAT, "!"),
    ("replace -f -", BOAT, "boat.water.example.com/a replaced"),
    ("diff -f -", BOAT, ""),
    ("get boat a -o jsonpath={.spec.colour}", "", "red"),
    ("delete boat a", "", "boat.water.example.com \"a\" deleted"),
    ("apply --server-side -f -", MAP, "configmap/shared serverside-applied"),
    ("apply --server-side --field-manager=other -f -", OTHER, "!conflict with \"kubectl\": .data.k"),
    (
        "apply --server-side --field-manager=other --force-conflicts -f -",
        OTHER,
        "configmap/shared serverside-applied",
    ),
    ("create deployment web --image=none --replicas=0", "", "deployment.apps/web created"),
    (
        r#"patch deployment web -p {"spec":{"template":{"spec":{"containers":[{"name":"none","env":[{"name":"A","value":"b"}]}]}}}}"#,
        "",
        "patched",
    ),
    ("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}", "", "none"),
    ("set image deployment/web none=other", "", "deployment.apps/web image updated"),
    ("rollout history deployment web", "", "REVISION"),
    ("create token default", "", "eyJ"),
    ("auth whoami", "", "kubernetes-admin"),
    ("auth can-i --list", "", "selfsubjectreviews.authentication.k8s.io"),
    ("auth can-i get pods --as=system:serviceaccount:default:default", "", "!"),
    ("create -f -", REQUEST, "certificatesigningrequest.certificates.k8s.io/csr created"),
    ("get csr csr", "", "Pending"),
    ("certificate approve csr", "", "certificatesigningrequest.certificates.k8s.io/csr approved"),
    ("get csr csr", "", "Approved"),
    ("cluster-info", "", "Kubernetes control plane"),
    ("events", "", ""),
    ("get --raw /readyz", "", "ok"),
    ("api-versions", "", "water.example.com/v1\n"),
    ("create quota few --hard=configmaps=9", "", "resourcequota/few created"),
    ("taint node node-1 a=b:NoSchedule", "", "node/node-1 tainted"),
    ("delete crd boats.water.example.com", "", "deleted"),
    ("get boats", "", "!the server could not find the requested resource"),
];

#[test]
fn commands_say_what_upstream_says() {
    let cluster = Cluster::start(Settings::default()).expect("a cluster");
    let account = ["get", "serviceaccount", "default", "-o", "name"];
    cluster.wait_for(&account, |name| name.contains("default"));
    for (command, input, want) in COMMANDS {
        let arguments: Vec<&str> = command.split(' ').collect();
        let output = cluster.kubectl_with_input(&arguments, input);
        let (ok, said) = match want.strip_prefix('!') {
            Some(words) => (false, words),
            None => (true, *want),
        };
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(output.ok == ok && all.contains(said), "kubectl {command}: wanted {want:?}: {output:?}");
    }
}

#[test]
fn a_proxy_speaks_for_its_user() {
    let cluster = Cluster::start(Settings::default()).expect("a cluster");
    let mut proxy = cluster.kubectl_command(&["proxy", "--port=8001"]).spawn().expect("kubectl starts");
    let answer = cluster.on_node(
        "curl",
        &[
            "-sS",
            "--retry",
            "20",
            "--retry-connrefused",
            "--retry-delay",
            "1",
            "http://127.0.0.1:8001/api/v1/namespaces/default",
        ],
    );
    proxy.kill().expect("it ran");
    proxy.wait().expect("it ends");
    assert!(answer.ok && answer.stdout.contains("\"kind\":\"Namespace\""), "{answer:?}");
}
