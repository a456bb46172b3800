//! Sizes: no file has more than 800 lines, no function more than 100. Generated files (their first line says so) do not
//! count.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 100;
const ROOTS: [&str; 11] = [
    "fuzz",
    "addons",
    "benches",
    "bin",
    "control-plane",
    "examples",
    "machinery",
    "node",
    "testkit",
    "tests",
    "xtask",
];

pub(crate) fn run() -> Result<()> {
    let mut found = BTreeMap::new();
    for root in ROOTS {
        visit(Path::new(root), &mut found)?;
    }
    if !found.is_empty() {
        let told: Vec<String> = found.iter().map(|(what, lines)| format!("{what} {lines}")).collect();
        bail!(
            "too long (a file has {FILE_LINES_MAX} lines at most, a function {FUNCTION_LINES_MAX}):\n  {}",
            told.join("\n  ")
        );
    }
    println!("tidy: no file over {FILE_LINES_MAX} lines, no function over {FUNCTION_LINES_MAX}");
    Ok(())
}

fn visit(path: &Path, found: &mut BTreeMap<String, usize>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("list {}", path.display()))? {
            let entry = entry?.path();
            if !entry.ends_with("target") {
                visit(&entry, found)?;
            }
        }
    } else if path.extension().is_some_and(|ext| ext == "rs") {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        measure(&path.display().to_string(), &text, found);
    }
    Ok(())
}

fn measure(path: &str, text: &str, found: &mut BTreeMap<String, usize>) {
    if text.lines().next().is_some_and(|line| line.contains("@generated") || line.contains("Do not edit")) {
        return;
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        found.insert(path.to_string(), lines);
    }
    for (name, lines) in functions(text).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX) {
        found.insert(format!("{path}::{name}"), lines);
    }
}

/// The functions of a formatted file and their lengths: from `fn` to the brace in the same column.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(name) = function_name(trimmed) else { continue };
        let close = format!("{}}}", " ".repeat(line.len() - trimmed.len()));
        let body = lines[start..].iter().position(|candidate| *candidate == close);
        // A declaration without a body ends before the next brace in its column would.
        let opens = lines[start..].iter().position(|l| l.ends_with('{') || l.ends_with(';'));
        if let (Some(end), Some(open)) = (body, opens)
            && lines[start + open].ends_with('{')
        {
            out.push((name.to_string(), end + 1));
        }
    }
    out
}

fn function_name(line: &str) -> Option<&str> {
    let rest = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe ", "extern \"C\" "]
        .iter()
        .fold(line, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    let name = rest.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_by_their_column() {
        let text = "fn one() {\n    a();\n}\n\nimpl X {\n    pub async fn two(\n        a: u8,\n    ) -> u8 {\n        if a {\n        }\n        3\n    }\n    fn declared();\n}\n";
        let got = functions(text);
        assert_eq!(got, [("one".to_string(), 3), ("two".to_string(), 7)]);
    }

    #[test]
    fn generated_files_do_not_count() {
        let mut found = BTreeMap::new();
        measure("g.rs", &format!("// @generated\n{}", "\n".repeat(2000)), &mut found);
        assert!(found.is_empty());
        measure("h.rs", &"\n".repeat(2000), &mut found);
        assert_eq!(found.get("h.rs"), Some(&2000));
    }
}
