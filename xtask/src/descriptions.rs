//! Writes `machinery/api/data/descriptions.txt.gz`: the prose of types and fields for OpenAPI and `kubectl explain`,
//! read from the doc comments of the `k8s-openapi` crate that the workspace builds with.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use serde_json::Value;

const SOURCES: &str = "src/v1_36";
const TARGET: &str = "machinery/api/data/descriptions.txt.gz";

/// The prose of one type: its own, and its fields' by JSON name.
#[derive(Default)]
pub(crate) struct Prose {
    pub(crate) own: String,
    pub(crate) fields: BTreeMap<String, String>,
}

pub(crate) fn run() -> Result<()> {
    let mut types = BTreeMap::new();
    walk(&crate_folder()?.join(SOURCES), &mut types)?;
    let mut text = String::new();
    for (name, prose) in &types {
        text.push_str(&format!("T\t{name}\t{}\n", escape(&prose.own)));
        for (field, prose) in &prose.fields {
            text.push_str(&format!("F\t{field}\t{}\n", escape(prose)));
        }
    }
    // Without a time in its header the same text is the same file.
    let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packed.write_all(text.as_bytes())?;
    let packed = packed.finish()?;
    fs::write(TARGET, &packed).with_context(|| format!("write {TARGET}"))?;
    println!("{TARGET}: {} types, {} bytes of {}", types.len(), packed.len(), text.len());
    Ok(())
}

fn crate_folder() -> Result<PathBuf> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata has packages")?;
    let found = packages.iter().find(|package| package["name"] == "k8s-openapi");
    let manifest =
        found.and_then(|package| package["manifest_path"].as_str()).context("k8s-openapi is a dependency")?;
    Ok(Path::new(manifest).parent().context("a manifest has a folder")?.to_path_buf())
}

/// What cargo knows of the packages that are built on this machine: those of other platforms need not be there.
fn metadata() -> Result<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--offline", "--filter-platform", "host-tuple"]);
    let output = command.output().context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("read cargo metadata")
}

pub(crate) fn walk(folder: &Path, types: &mut BTreeMap<String, Prose>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, types)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path)?;
            if let Some((name, prose)) = read(&source) {
                types.insert(name, prose);
            }
        }
    }
    Ok(())
}

/// A generated file holds one type: its definition's name, the struct with doc comments, and the table of JSON names.
fn read(source: &str) -> Option<(String, Prose)> {
    let name = source.lines().find_map(|line| line.strip_prefix("// Generated from definition "))?.trim();
    let mut json_names: HashMap<&str, &str> = HashMap::new();
    for line in source.lines() {
        if let Some((json, field)) = line.trim().split_once(" => Field::Key_") {
            json_names.insert(field.trim_end_matches(',').trim_end_matches('_'), json.trim_matches('"'));
        }
    }
    let mut prose = Prose::default();
    let (mut pending, mut inside): (Vec<&str>, bool) = (Vec::new(), false);
    for line in source.lines() {
        let trimmed = line.trim_start();
        if let Some(doc) = trimmed.strip_prefix("///") {
            pending.push(doc.strip_prefix(' ').unwrap_or(doc));
        } else if !inside && (line.starts_with("pub struct ") || line.starts_with("pub enum ")) {
            prose.own = unescape(&pending);
            pending.clear();
            inside = true;
            if line.starts_with("pub enum ") || line.ends_with(';') {
                break;
            }
        } else if inside && line == "}" {
            break;
        } else if let Some((field, _)) = trimmed.strip_prefix("pub ").and_then(|rest| rest.split_once(':')) {
            let json = json_names.get(field.trim_start_matches("r#").trim_end_matches('_'));
            if let (true, false, Some(json)) = (inside, pending.is_empty(), json) {
                prose.fields.insert((*json).to_string(), unescape(&pending));
            }
            pending.clear();
        }
    }
    Some((name.to_string(), prose))
}

/// The text as upstream wrote it: without rustdoc's backslashes.
fn unescape(lines: &[&str]) -> String {
    let mut text = String::new();
    let joined = lines.join("\n");
    let mut chars = joined.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '\\' && matches!(next, '<' | '>' | '[' | ']' | '\\'));
        text.push(escaped.unwrap_or(c));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('\t', " ").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_file_is_read() {
        let source = r#"
// Generated from definition io.k8s.api.core.v1.Thing

/// Thing is one.
#[derive(Clone)]
pub struct Thing {
    /// 0 \< x
    ///
    /// more
    pub host_ip: i32,

    pub bare: i32,

    /// kind
    pub type_: i32,
}

                            "hostIP" => Field::Key_host_ip,
                            "bare" => Field::Key_bare,
                            "type" => Field::Key_type,
"#;
        let (name, prose) = read(source).expect("it is generated");
        assert_eq!((name.as_str(), prose.own.as_str()), ("io.k8s.api.core.v1.Thing", "Thing is one."));
        let fields: Vec<(&str, &str)> = prose.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(fields, [("hostIP", "0 < x\n\nmore"), ("type", "kind")]);
    }
}
