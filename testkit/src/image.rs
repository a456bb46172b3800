//! An image made on the spot: busybox, as `docker save` would write it.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// What containers of the tests run; links to one static binary.
const APPLETS: [&str; 29] = [
    "sh", "ls", "cat", "echo", "sleep", "true", "false", "wget", "httpd", "nc", "nslookup", "id", "hostname",
    "env", "ps", "mkdir", "touch", "grep", "head", "tail", "tar", "test", "stat", "kill", "date", "seq",
    "yes", "dd", "tee",
];

/// Writes a docker archive with one image of this name. Needs Debian's busybox-static.
pub fn busybox_archive(to: &Path, name: &str) -> Result<()> {
    let binary = std::fs::read("/bin/busybox").context("read /bin/busybox (Debian: busybox-static)")?;
    let mut layer = tar::Builder::new(Vec::new());
    for dir in ["bin/", "tmp/", "etc/", "www/"] {
        let mut header = entry(tar::EntryType::Directory, 0, 0o755);
        layer.append_data(&mut header, dir, std::io::empty())?;
    }
    let mut header = entry(tar::EntryType::Regular, binary.len() as u64, 0o755);
    layer.append_data(&mut header, "bin/busybox", binary.as_slice())?;
    for applet in APPLETS {
        let mut header = entry(tar::EntryType::Symlink, 0, 0o777);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    let users = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    let mut header = entry(tar::EntryType::Regular, users.len() as u64, 0o644);
    layer.append_data(&mut header, "etc/passwd", users.as_slice())?;
    let layer = layer.into_inner()?;
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
        "history": [{"created_by": "oarlock tests"}],
    }))?;
    let config_name = format!("{}.json", digest(&config));
    let manifest =
        serde_json::to_vec(&json!([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]))?;
    let mut archive = tar::Builder::new(std::fs::File::create(to)?);
    for (path, content) in
        [(config_name.as_str(), &config), ("layer.tar", &layer), ("manifest.json", &manifest)]
    {
        let mut header = entry(tar::EntryType::Regular, content.len() as u64, 0o644);
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    archive.finish()?;
    Ok(())
}

fn entry(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
