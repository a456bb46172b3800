//! Images from a registry on loopback. Needs docker-registry on the machine.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::support::{Node, container};
use oarlock_cri::v1;
use sha2::{Digest as _, Sha256};

/// A registry with one image pushed by hand: blobs, a manifest, and an index by platform.
struct Registry {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have died by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Lays a registry's storage out on disk, as its own push would, so that no client is needed.
fn store(root: &std::path::Path, repository: &str, tag: &str, layer: &[u8]) -> String {
    let base = root.join("docker/registry/v2");
    let put = |bytes: &[u8], kind: &str| {
        let digest = digest(bytes);
        let hex = &digest[7..];
        let blob = base.join("blobs/sha256").join(&hex[..2]).join(hex);
        fs::create_dir_all(&blob).expect("new");
        fs::write(blob.join("data"), bytes).expect("written");
        let link = base.join("repositories").join(repository).join(kind).join("sha256").join(hex);
        fs::create_dir_all(&link).expect("new");
        fs::write(link.join("link"), &digest).expect("written");
        digest
    };
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(layer).expect("in memory");
    let packed = gzip.finish().expect("in memory");
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": { "Env": ["PATH=/bin"], "User": "web" },
        "rootfs": { "type": "layers", "diff_ids": [digest(layer)] },
    })
    .to_string();
    let descriptor = |kind: &str, bytes: &[u8]| serde_json::json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
    put(&packed, "_layers");
    put(config.as_bytes(), "_layers");
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
    })
    .to_string();
    put(manifest.as_bytes(), "_manifests/revisions");
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    entry["platform"] = serde_json::json!({ "architecture": "amd64", "os": "linux" });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry],
    })
    .to_string();
    let digest = put(index.as_bytes(), "_manifests/revisions");
    let tags = base.join("repositories").join(repository).join("_manifests/tags").join(tag).join("current");
    fs::create_dir_all(&tags).expect("new");
    fs::write(tags.join("link"), &digest).expect("written");
    digest
}

async fn registry(layer: &[u8]) -> (Registry, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let digest = store(directory.path(), "team/app", "v1", layer);
    // A port that was free a moment ago: the registry cannot say which one it took.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
        directory.path().display()
    );
    let file = directory.path().join("config.yml");
    fs::write(&file, config).expect("written");
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("docker-registry is installed");
    while tokio::net::TcpStream::connect(&address).await.is_err() {
        tokio::task::yield_now().await;
    }
    (Registry { child, address, _directory: directory }, digest)
}

fn pull(image: &str) -> v1::PullImageRequest {
    let image = v1::ImageSpec { image: image.to_string(), ..Default::default() };
    v1::PullImageRequest { image: Some(image), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_pulled_run_and_removed() {
    let node = Node::start().await;
    let (registry, digest) = registry(&crate::support::layer()).await;
    let name = format!("{}/team/app:v1", registry.address);
    let id = node.client.pull_image(pull(&name)).await.expect("pulled").image_ref;
    let spec = v1::ImageSpec { image: name.clone(), ..Default::default() };
    let request = v1::ImageStatusRequest { image: Some(spec.clone()), verbose: true };
    let image = node.client.image_status(request.clone()).await.expect("answers").image.expect("there");
    assert_eq!((image.id.as_str(), image.username.as_str()), (id.as_str(), "web"));
    assert_eq!(image.repo_tags, std::slice::from_ref(&name));
    let by_digest = format!("{}/team/app@{digest}", registry.address);
    assert_eq!(image.repo_digests, std::slice::from_ref(&by_digest));
    assert_eq!(node.client.pull_image(pull(&by_digest)).await.expect("known").image_ref, id);

    let pod = node.pod(&node.pod_config("pulled")).await;
    let mut config = container("pulled", "id -u");
    config.image = Some(v1::ImageSpec { image: id.clone(), ..Default::default() });
    let container = node.create(&pod, config).await;
    node.start_container(&container).await;
    assert_eq!(node.ended(&container).await.exit_code, 0);
    assert_eq!(node.log("pulled.log"), ["stdout F 33"]);

    let missing = format!("{}/team/none:v1", registry.address);
    let error = node.client.pull_image(pull(&missing)).await.expect_err("not there").to_string();
    assert!(error.contains(&missing), "{error}");

    let remove = v1::RemoveImageRequest { image: Some(spec) };
    node.client.remove_image(remove.clone()).await.expect("removed");
    node.client.remove_image(remove).await.expect("removing again is nothing");
    assert!(node.client.image_status(request).await.expect("answers").image.is_none());
    node.finish().await;
}
