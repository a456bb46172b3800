//! The apps group.

mod cells;
mod validate;

use oarlock_api::Path;
use serde_json::Value;

use crate::core::volume::claim_warnings;
use crate::kind::Kind;
use crate::template;
use crate::value::{int, items, object_mut, text};

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "controllerrevisions" => &CONTROLLER_REVISION,
        "daemonsets" => &DAEMON_SET,
        "deployments" => &DEPLOYMENT,
        "replicasets" => &REPLICA_SET,
        "statefulsets" => &STATEFUL_SET,
        _ => return None,
    })
}

static CONTROLLER_REVISION: Kind = Kind {
    validate: validate::revision,
    validate_new: validate::new_revision,
    changes: validate::revision_changes,
    cells: Some(cells::controller_revision),
    ..Kind::PLAIN
};

/// Where all of them have their template.
const TEMPLATE: &[&str] = &["spec", "template"];

/// Kinds whose pods follow a template.
const TEMPLATED: Kind = Kind {
    prepare_create: |_, object| template::drop_disabled(object, None, TEMPLATE),
    prepare_update: |_, new, old| template::drop_disabled(new, Some(old), TEMPLATE),
    warn: |object, old, warnings| template::warn(object, old, TEMPLATE, true, warnings),
    ..Kind::COUNTED
};

static DAEMON_SET: Kind = Kind {
    prepare_create: |_, set| {
        template::drop_disabled(set, None, TEMPLATE);
        count_template(set, template_generation(set).max(1));
    },
    prepare_update: |_, new, old| {
        template::drop_disabled(new, Some(old), TEMPLATE);
        let changed = new["spec"]["template"] != old["spec"]["template"];
        count_template(new, template_generation(old) + i64::from(changed));
    },
    validate: validate::daemon_set,
    changes: validate::daemon_set_changes,
    warn: |set, old, warnings| template::warn(set, old, TEMPLATE, false, warnings),
    cells: Some(cells::daemon_set),
    ..TEMPLATED
};

/// A counter that was a field once and is an annotation now. (`apps.DeprecatedTemplateGeneration`)
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(set: &Value) -> i64 {
    text(&set["metadata"]["annotations"][TEMPLATE_GENERATION]).parse().unwrap_or(0)
}

fn count_template(set: &mut Value, generation: i64) {
    object_mut(&mut set["metadata"], "annotations")
        .insert(TEMPLATE_GENERATION.into(), generation.to_string().into());
}

static DEPLOYMENT: Kind = Kind {
    status_keeps: &["labels"],
    // Annotations count: the controller copies them.
    generation_changes: Some(|new, old| {
        new["spec"] != old["spec"] || new["metadata"]["annotations"] != old["metadata"]["annotations"]
    }),
    validate: validate::deployment,
    changes: validate::deployment_changes,
    cells: Some(cells::deployment),
    ..TEMPLATED
};

static REPLICA_SET: Kind = Kind {
    fields: |set| vec![("status.replicas", int(&set["status"]["replicas"]).to_string())],
    validate: validate::replica_set,
    changes: validate::replica_set_changes,
    cells: Some(cells::replica_set),
    ..TEMPLATED
};

static STATEFUL_SET: Kind = Kind {
    // Its pods' host names begin with it.
    name: crate::names::dns_label,
    validate: validate::stateful_set,
    validate_new: validate::new_stateful_set,
    changes: validate::stateful_set_changes,
    warn: |set, old, warnings| {
        template::warn(set, old, TEMPLATE, false, warnings);
        if int(&set["spec"]["revisionHistoryLimit"]) < 0 {
            warnings.push(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                    .into(),
            );
        }
        let path = Path::new("spec").child("volumeClaimTemplates");
        for (index, claim) in items(&set["spec"]["volumeClaimTemplates"]).iter().enumerate() {
            claim_warnings(&claim["spec"], &path.index(index), warnings);
        }
    },
    cells: Some(cells::stateful_set),
    ..TEMPLATED
};
