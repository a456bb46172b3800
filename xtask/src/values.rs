//! Writes `machinery/api/data/values.txt.gz`: what the values of named strings mean, for `kubectl explain`.
//!
//! Release 0.14.0 of the `k8s-openapi` crate, of its `v1_23`, was the last whose doc comments tell of values. It is given as a
//! folder; nothing is built with it. What came later has no text, nor has what is described in other words today.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};

use crate::descriptions::{Prose, walk};

const TYPES: &str = "machinery/api/data/types.txt";
const TARGET: &str = "machinery/api/data/values.txt.gz";
const SOURCES: &str = "src/v1_23";
/// Types whose values upstream describes in other words since.
const WORDED_ANEW: [&str; 2] =
    ["io.k8s.api.core.v1.ResourceQuotaScope", "io.k8s.api.core.v1.ServiceExternalTrafficPolicy"];
/// What a field's text says before it comes to the values.
const BEGIN: &str = "Possible enum values:\n";

/// Texts by the name of the string's type, and then by value.
type Values = BTreeMap<String, BTreeMap<String, String>>;

pub(crate) fn run() -> Result<()> {
    let folder = std::env::args().nth(2).context("usage: cargo xtask values FOLDER-OF-K8S-OPENAPI-0.14.0")?;
    let mut types = BTreeMap::new();
    walk(&Path::new(&folder).join(SOURCES), &mut types)?;
    let table = fs::read_to_string(TYPES).with_context(|| format!("read {TYPES}"))?;
    let values = values(&types, &table);
    let mut text = String::new();
    for (name, values) in &values {
        for (value, told) in values {
            text.push_str(&format!("{name}\t{value}\t{told}\n"));
        }
    }
    let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packed.write_all(text.as_bytes())?;
    fs::write(TARGET, packed.finish()?).with_context(|| format!("write {TARGET}"))?;
    println!("{TARGET}: {} types", values.len());
    Ok(())
}

/// Which named string a field is of tells the table; the first field that is described describes its type.
fn values(types: &BTreeMap<String, Prose>, table: &str) -> Values {
    let lines: Vec<&str> = table.lines().collect();
    let name_at = |at: &str| lines.get(at.parse::<usize>().ok()?)?.strip_prefix("A\t")?.split('\t').next();
    let (mut found, mut prose) = (Values::new(), None);
    for line in &lines {
        let parts: Vec<&str> = line.split('\t').collect();
        match parts[..] {
            ["T", name, ..] => prose = types.get(name),
            ["F", field, _, kind, ..] => {
                let text = prose.and_then(|prose| prose.fields.get(field)?.split_once(BEGIN));
                let named = kind.rsplit_once('E').and_then(|(_, at)| name_at(at));
                let named = named.filter(|name| !WORDED_ANEW.contains(name));
                if let (Some((_, text)), Some(named)) = (text, named) {
                    found
                        .entry(named.to_string())
                        .or_insert_with(|| text.lines().filter_map(value).collect());
                }
            }
            _ => {}
        }
    }
    found
}

/// `` - `"Always"` means that …``
fn value(line: &str) -> Option<(String, String)> {
    let (value, told) = line.trim_start().strip_prefix("- `\"")?.split_once("\"`")?;
    Some((value.to_string(), told.trim().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_tells_of_the_values_of_its_type() {
        let told = "Pulls. \n\nPossible enum values:\n - `\"Always\"` means always.\n - `\"Never\"`";
        let fields = BTreeMap::from([("policy".to_string(), told.to_string())]);
        let types = BTreeMap::from([("x.Box".to_string(), Prose { own: String::new(), fields })]);
        let table =
            "A\tx.Other\t\nA\tx.Policy\tAlways|Never\nT\tx.Box\t\t\nF\tbare\t1\ts\t\nF\tpolicy\t2\tE1\teo\n";
        let found = values(&types, table);
        let policy =
            [("Always", "means always."), ("Never", "")].map(|(k, v)| (k.to_string(), v.to_string()));
        assert_eq!(found, Values::from([("x.Policy".to_string(), BTreeMap::from(policy))]));
    }
}
