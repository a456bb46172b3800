//! The arrows between folders: `machinery` ← `control-plane`, `node`, `addons`, `lifecycle` ← `bin`, and never from one
//! component to another. Reads every `Cargo.toml` of the workspace.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

/// A crate's place in the house.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Machinery,
    /// A component, by its folder: `control-plane/apiserver` with all that lies in it.
    Component(String),
    Top,
    /// Tests, benchmarks, tools: may use everything.
    Outside,
}

/// Who may use whose crate although both are components.
const ALLOWED: [(&str, &str); 1] = [("control-plane/apiserver", "control-plane/store")];
const COMPONENT_ROOTS: [&str; 4] = ["control-plane", "node", "addons", "lifecycle"];

pub(crate) fn run() -> Result<()> {
    let root =
        fs::read_to_string("Cargo.toml").context("read Cargo.toml; run in the root of the repository")?;
    let members = members(&root);
    let mut folder_of = BTreeMap::new();
    let mut manifests = Vec::new();
    for member in &members {
        let manifest = fs::read_to_string(format!("{member}/Cargo.toml"))
            .with_context(|| format!("read {member}/Cargo.toml"))?;
        let name = package_name(&manifest).with_context(|| format!("{member}/Cargo.toml has no name"))?;
        folder_of.insert(name, member.clone());
        manifests.push((member.clone(), manifest));
    }
    let mut faults = Vec::new();
    for (member, manifest) in &manifests {
        for dependency in dependencies(manifest) {
            if let Some(target) = folder_of.get(&dependency)
                && let Err(why) = check(member, target)
            {
                faults.push(format!("{member} -> {target}: {why}"));
            }
        }
    }
    if !faults.is_empty() {
        bail!("dependencies against the direction of the house:\n  {}", faults.join("\n  "));
    }
    println!("layers: {} crates, every arrow in its direction", members.len());
    Ok(())
}

fn check(from: &str, to: &str) -> Result<(), &'static str> {
    match (place(from), place(to)) {
        (Place::Outside, _) | (_, Place::Machinery) => Ok(()),
        (_, Place::Outside) => Err("nothing builds on tests or tools"),
        (_, Place::Top) => Err("nothing builds on the binary"),
        (Place::Top, Place::Component(_)) => Ok(()),
        (Place::Machinery, Place::Component(_)) => Err("machinery knows no component"),
        (Place::Component(a), Place::Component(b))
            if a == b || ALLOWED.contains(&(a.as_str(), b.as_str())) =>
        {
            Ok(())
        }
        (Place::Component(_), Place::Component(_)) => {
            Err("components meet at the Kubernetes API or the CRI, not in each other's code")
        }
    }
}

fn place(folder: &str) -> Place {
    let mut parts = folder.split('/');
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("machinery", _) => Place::Machinery,
        ("bin", _) => Place::Top,
        (root, Some(component)) if COMPONENT_ROOTS.contains(&root) => {
            Place::Component(format!("{root}/{component}"))
        }
        _ => Place::Outside,
    }
}

/// The strings of `members = [ … ]`.
fn members(manifest: &str) -> Vec<String> {
    let list =
        manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_string).collect()
}

fn package_name(manifest: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.starts_with("name = "))?;
    Some(line.split('"').nth(1)?.to_string())
}

/// The names under `[dependencies]`. What only tests use is free.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut out = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
        } else if inside
            && let Some(name) = line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty())
        {
            out.push(name.to_string());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_have_one_direction() {
        let check = |from, to, ok| assert_eq!(check(from, to).is_ok(), ok, "{from} -> {to}");
        check("bin/oarlock", "node/kubelet", true);
        check("node/kubelet", "machinery/cri", true);
        check("control-plane/apiserver", "control-plane/apiserver/access", true);
        check("control-plane/apiserver", "control-plane/store", true);
        check("control-plane/scheduler", "control-plane/store", false);
        check("node/kubelet", "node/runtime", false);
        check("machinery/client", "control-plane/apiserver", false);
        check("node/kubelet", "bin/oarlock", false);
        check("tests", "bin/oarlock", true);
        check("node/kubelet", "testkit", false);
    }

    #[test]
    fn manifests_are_read() {
        let manifest = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\nc = \"1\"\n[dev-dependencies]\nd = \"1\"\n";
        assert_eq!(package_name(manifest).as_deref(), Some("a"));
        assert_eq!(dependencies(manifest), ["b", "c"]);
        assert_eq!(members("members = [\n \"x\",\n \"y/z\",\n]"), ["x", "y/z"]);
    }
}
