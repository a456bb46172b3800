//! What a column of a table tells: for most of them the prose of the field that it shows, for the others a line of its own.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::descriptions::Descriptions;

/// `group/plural`, column, type and field, parted by tabs; or `=` and the text itself.
const COLUMNS: &str = include_str!("../../data/columns.txt");

/// Of every object.
const META: [(&str, &str); 3] =
    [("Name", "name"), ("Age", "creationTimestamp"), ("Created At", "creationTimestamp")];
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Only what columns tell is kept of the prose.
static TEXTS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let prose = Descriptions::load();
    let text = |ty: &str, field: &str| prose.of_fields(ty).remove(field).unwrap_or_default();
    let own = COLUMNS.lines().filter_map(|line| {
        let mut parts = line.split('\t');
        let (resource, column, ty, field) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let told = if ty == "=" { field.to_string() } else { text(ty, field) };
        Some((key(resource, column), told))
    });
    own.chain(META.iter().map(|(column, field)| (key("", column), text(OBJECT_META, field)))).collect()
});

fn key(resource: &str, column: &str) -> String {
    format!("{resource}\t{column}")
}

/// The description of a built-in kind's column; empty where there is none.
pub fn column_description(group: &str, plural: &str, column: &str) -> &'static str {
    let own = TEXTS.get(&key(&format!("{group}/{plural}"), column));
    own.or_else(|| TEXTS.get(&key("", column))).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_tell_what_their_fields_do() {
        for line in COLUMNS.lines() {
            let parts: Vec<&str> = line.split('\t').collect();
            let [resource, column, ..] = parts[..] else { panic!("{line}") };
            let (group, plural) = resource.split_once('/').expect("a group and a plural");
            assert!(!column_description(group, plural, column).is_empty(), "{line}");
        }
        assert!(
            column_description("", "configmaps", "Data").starts_with("Data contains the configuration data.")
        );
        assert!(column_description("", "pods", "Name").ends_with("names#names"));
        assert!(
            column_description("apps", "deployments", "Age").starts_with("CreationTimestamp is a timestamp")
        );
        assert_eq!(column_description("", "namespaces", "Status"), "The status of the namespace");
        assert_eq!(column_description("", "pods", "Nothing"), "");
    }
}
