//! Images: from a registry of Debian's, with and without a password, and by hand.

use std::process::{Child, Stdio};
use std::time::Duration;

use oarlock_testkit::{Cluster, Settings, busybox_archive, eventually};

const PATIENCE: Duration = Duration::from_secs(60);
const OPEN: &str = "127.0.0.1:5000";
const CLOSED: &str = "127.0.0.1:5001";
/// For `jane` with the password `secret`.
const HTPASSWD: &str = "jane:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// Debian's docker-registry on a loopback port of the cluster; gone when dropped.
struct Registry(Child);

impl Registry {
    fn start(cluster: &Cluster, address: &str, password: bool) -> Self {
        let name = address.replace(':', "-");
        let file = cluster.scratch().join(format!("{name}.yml"));
        let store = cluster.scratch().join(&name);
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: '{address}'}}\n",
            store.display()
        );
        if password {
            let passwords = cluster.scratch().join("htpasswd");
            std::fs::write(&passwords, HTPASSWD).expect("written");
            config += &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", passwords.display());
        }
        std::fs::write(&file, config).expect("written");
        let mut command = cluster.node_command("docker-registry");
        command.args(["serve", &file.display().to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self(command.spawn().expect("docker-registry starts"));
        eventually("the registry", PATIENCE, || {
            let answer = cluster.on_node("curl", &["-s", "--noproxy", "*", &format!("http://{address}/v2/")]);
            if answer.ok { Ok(()) } else { Err(answer.stderr) }
        });
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn images_from_registries_and_archives() {
    let registries = format!("--insecure-registries={OPEN},{CLOSED}");
    let cluster =
        Cluster::start(Settings { arguments: vec![registries], ..Settings::default() }).expect("a cluster");
    let (open, closed) = (Registry::start(&cluster, OPEN, false), Registry::start(&cluster, CLOSED, true));
    push(&cluster);
    by_tag_digest_and_index(&cluster);
    with_a_password(&cluster);
    what_is_not_there(&cluster);
    by_hand(&cluster);
    drop((open, closed));
}

fn push(cluster: &Cluster) {
    let archive = cluster.scratch().join("image.tar");
    busybox_archive(&archive, "test/busybox:1").expect("an archive");
    let from = format!("docker-archive:{}", archive.display());
    for (address, more) in [(OPEN, &[][..]), (CLOSED, &["--dest-creds=jane:secret"])] {
        let to = format!("docker://{address}/test/busybox:1");
        let copied = cluster.on_node(
            "skopeo",
            &[&["--insecure-policy", "copy", "--dest-tls-verify=false"], more, &[&from, &to]].concat(),
        );
        assert!(copied.ok, "{}", copied.stderr);
    }
}

fn curl(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.on_node("curl", &[&["-sf", "--noproxy", "*"], arguments].concat());
    assert!(output.ok, "curl {arguments:?}: {output:?}");
    output.stdout
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The digest of a tag, and the size of its manifest.
fn resolve(cluster: &Cluster) -> (String, usize) {
    let url = format!("http://{OPEN}/v2/test/busybox/manifests/1");
    let head = curl(cluster, &["-I", "-H", &format!("Accept: {MANIFEST}"), &url]);
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(name)).expect("the header");
        line.split_once(':').expect("a value").1.trim().to_string()
    };
    (header("docker-content-digest"), header("content-length").parse().expect("a number"))
}

fn run(cluster: &Cluster, name: &str, image: &str, more: &str) {
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{terminationGracePeriodSeconds: 1, {more} \
         containers: [{{name: main, image: '{image}', imagePullPolicy: Always, command: [sleep, '3600']}}]}}}}"
    ));
}

fn by_tag_digest_and_index(cluster: &Cluster) {
    let (digest, size) = resolve(cluster);
    let platform = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    // The other platform is listed first and does not exist: whoever takes the wrong one fails.
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{MANIFEST}","size":{size},"digest":"{digest}","platform":{{"architecture":"{platform}","os":"linux"}}}}]}}"#
    );
    let file = cluster.scratch().join("index.json");
    std::fs::write(&file, index).expect("written");
    let url = format!("http://{OPEN}/v2/test/busybox/manifests/many");
    curl(
        cluster,
        &[
            "-X",
            "PUT",
            "-H",
            &format!("Content-Type: {INDEX}"),
            "--data-binary",
            &format!("@{}", file.display()),
            &url,
        ],
    );
    run(cluster, "by-tag", &format!("{OPEN}/test/busybox:1"), "");
    run(cluster, "by-digest", &format!("{OPEN}/test/busybox@{digest}"), "");
    run(cluster, "by-index", &format!("{OPEN}/test/busybox:many"), "");
    for pod in ["by-tag", "by-digest", "by-index"] {
        cluster.wait_ready(pod);
        assert_eq!(cluster.kubectl(&["exec", pod, "--", "echo", "works"]), "works\n");
    }
    let id = "jsonpath={.status.containerStatuses[0].imageID}";
    assert_eq!(cluster.kubectl(&["get", "pod", "by-tag", "-o", id]), format!("{OPEN}/test/busybox@{digest}"));
    let events = [
        "get",
        "events",
        "--field-selector=involvedObject.name=by-tag",
        "-o",
        "jsonpath={.items[*].message}",
    ];
    let said = cluster.wait_for(&events, |text| text.contains("Container started"));
    for part in [
        &format!("Pulling image \"{OPEN}/test/busybox:1\"")[..],
        "Successfully pulled image",
        "Container created",
        "Container started",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    cluster.kubectl(&["delete", "pod", "--now", "by-tag", "by-digest", "by-index"]);
}

const REASON: &str = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";

fn with_a_password(cluster: &Cluster) {
    let image = format!("{CLOSED}/test/busybox:1");
    run(cluster, "stranger", &image, "");
    cluster.wait_for(&["get", "pod", "stranger", "-o", REASON], |reason| {
        reason == "ErrImagePull" || reason == "ImagePullBackOff"
    });
    let server = format!("--docker-server={CLOSED}");
    cluster.kubectl(&[
        "create",
        "secret",
        "docker-registry",
        "password",
        &server,
        "--docker-username=jane",
        "--docker-password=secret",
    ]);
    cluster.kubectl(&[
        "create",
        "secret",
        "docker-registry",
        "wrong",
        &server,
        "--docker-username=jane",
        "--docker-password=no",
    ]);
    run(cluster, "known", &image, "imagePullSecrets: [{name: password}],");
    cluster.wait_ready("known");
    run(cluster, "mistaken", &image, "imagePullSecrets: [{name: wrong}],");
    cluster.wait_for(&["get", "pod", "mistaken", "-o", REASON], |reason| {
        reason == "ErrImagePull" || reason == "ImagePullBackOff"
    });
    cluster.kubectl(&["delete", "pod", "--now", "stranger", "known", "mistaken"]);
}

fn what_is_not_there(cluster: &Cluster) {
    let image = format!("{OPEN}/test/busybox:none");
    run(cluster, "absent", &image, "");
    cluster.wait_for(&["get", "pod", "absent", "-o", REASON], |reason| {
        reason == "ErrImagePull" || reason == "ImagePullBackOff"
    });
    cluster.wait_for(&["get", "pod", "absent", "-o", REASON], |reason| reason == "ImagePullBackOff");
    let message = "jsonpath={.status.containerStatuses[0].state.waiting.message}";
    let told = cluster.kubectl(&["get", "pod", "absent", "-o", message]);
    assert!(told.contains(&format!("Back-off pulling image \"{image}\"")), "{told}");
    let events = [
        "get",
        "events",
        "--field-selector=involvedObject.name=absent",
        "-o",
        "jsonpath={.items[*].message}",
    ];
    let said = cluster.wait_for(&events, |text| text.contains("Error: ImagePullBackOff"));
    for part in
        [&format!("Failed to pull image \"{image}\": ")[..], "Error: ErrImagePull", "manifest unknown"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    run(cluster, "unnameable", "Not/A:Valid:Name", "");
    cluster.wait_for(&["get", "pod", "unnameable", "-o", REASON], |reason| reason == "InvalidImageName");
    cluster.kubectl(&["delete", "pod", "--now", "absent", "unnameable"]);
}

fn by_hand(cluster: &Cluster) {
    let list = || cluster.oarlock(&["image", "list"]).stdout;
    let archive = cluster.scratch().join("image.tar").display().to_string();
    let imported = cluster.oarlock(&["image", "import", &archive]);
    assert!(imported.ok && imported.stdout.contains("test/busybox:1"), "{imported:?}");
    assert!(list().contains("docker.io/test/busybox:1"), "{}", list());
    let layout = format!("oci-archive:{}:oci.test/busybox:2", cluster.scratch().join("oci.tar").display());
    let copied = cluster
        .on_node("skopeo", &["--insecure-policy", "copy", &format!("docker-archive:{archive}"), &layout]);
    assert!(copied.ok, "{}", copied.stderr);
    let imported =
        cluster.oarlock(&["image", "import", &cluster.scratch().join("oci.tar").display().to_string()]);
    assert!(imported.ok && list().contains("oci.test/busybox:2"), "{imported:?} {}", list());
    let removed = cluster.oarlock(&["image", "remove", "docker.io/test/busybox:1"]);
    assert!(removed.ok && !list().contains("docker.io/test/busybox:1"), "{removed:?} {}", list());
    let name = format!("{OPEN}/test/busybox:many");
    // It may have been taken away already.
    cluster.oarlock(&["image", "remove", &name]);
    let pulled = cluster.oarlock(&["image", "pull", &name]);
    assert!(pulled.ok && pulled.stdout.contains("sha256:") && list().contains(&name), "{pulled:?}");
    let missing = cluster.oarlock(&["image", "pull", &format!("{OPEN}/test/nothing:1")]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    let broken = cluster.scratch().join("broken.tar");
    std::fs::write(&broken, "not an archive").expect("written");
    let broken = cluster.oarlock(&["image", "import", &broken.display().to_string()]);
    assert_eq!((broken.code, broken.stderr.lines().count()), (Some(1), 1), "{broken:?}");
}
