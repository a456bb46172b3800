//! An executable as an image: one layer with one file, in the form of `docker save`.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

pub(crate) fn write(executable: &Path, to: &Path, name: &str) -> Result<()> {
    let binary = std::fs::read(executable).with_context(|| format!("read {}", executable.display()))?;
    let layer = tarball(&[("guestbook", &binary, 0o755)])?;
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Entrypoint": ["/guestbook"], "User": "65532:65532", "ExposedPorts": {"8080/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
        "history": [{"created_by": "guestbook pack"}],
    }))?;
    let config_name = format!("{}.json", digest(&config));
    let manifest =
        serde_json::to_vec(&json!([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]))?;
    let archive = tarball(&[
        (&config_name, &config, 0o644),
        ("layer.tar", &layer, 0o644),
        ("manifest.json", &manifest, 0o644),
    ])?;
    let mut file = File::create(to).with_context(|| format!("create {}", to.display()))?;
    std::io::Write::write_all(&mut file, &archive).with_context(|| format!("write {}", to.display()))
}

/// The same files give the same bytes: no times, no owners.
fn tarball(files: &[(&str, &[u8], u32)]) -> Result<Vec<u8>> {
    let mut out = tar::Builder::new(Vec::new());
    for (path, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        out.append_data(&mut header, path, *content)?;
    }
    Ok(out.into_inner()?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read as _;

    fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut out = BTreeMap::new();
        for entry in tar::Archive::new(bytes).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            out.insert(entry.path().unwrap().display().to_string(), content);
        }
        out
    }

    #[test]
    fn the_archive_holds_together() {
        let dir = tempfile::tempdir().unwrap();
        let (program, archive) = (dir.path().join("program"), dir.path().join("image.tar"));
        std::fs::write(&program, b"\x7fELF").unwrap();
        write(&program, &archive, "localhost/x:1").unwrap();
        let outer = files(&std::fs::read(&archive).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&outer["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "localhost/x:1");
        let config: serde_json::Value =
            serde_json::from_slice(&outer[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        let layer = &outer["layer.tar"];
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", digest(layer)));
        assert_eq!(files(layer)["guestbook"], b"\x7fELF");
    }
}
