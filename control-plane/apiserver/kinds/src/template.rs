//! What all kinds that make pods from a template share: warnings, and fields that are off by default.

use oarlock_api::Path;
use serde_json::Value;

use crate::podspec;
use crate::value::name;

/// `at` is where the template stands. An update is warned of only where it changes what is made.
pub(crate) fn warn(
    object: &Value,
    old: Option<&Value>,
    at: &[&str],
    names_pods: bool,
    warnings: &mut Vec<String>,
) {
    match old {
        None if names_pods => hostname_warning(object, "Pod names and hostnames", warnings),
        Some(old) if old["metadata"]["generation"] == object["metadata"]["generation"] => return,
        _ => {}
    }
    let template = at.iter().fold(object, |value, field| &value[*field]);
    let path = at.iter().fold(Path::root(), |path, field| path.child(field));
    podspec::warnings::pod(template, &path, warnings);
}

/// A name that no host can have.
pub(crate) fn hostname_warning(object: &Value, of: &str, warnings: &mut Vec<String>) {
    let faults = crate::names::dns_label(name(object));
    if !faults.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in {of}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            faults.join(" ")
        ));
    }
}

/// Takes from the template what is off, unless the old one has it.
pub(crate) fn drop_disabled(object: &mut Value, old: Option<&Value>, at: &[&str]) {
    let old =
        old.map(|old| at.iter().fold(old, |value, field| &value[*field])).map(|template| &template["spec"]);
    let template = at.iter().try_fold(object, |value, field| value.get_mut(*field));
    if let Some(spec) = template.and_then(|template| template.get_mut("spec")) {
        podspec::drop_disabled(spec, old);
    }
}
