//! The storage group.

mod cells;
mod csi;
mod validate;

use crate::kind::{Kind, STATUS_ALONE};

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "csidrivers" => &CSI_DRIVER,
        "csinodes" => &CSI_NODE,
        "csistoragecapacities" => &CSI_CAPACITY,
        "storageclasses" => &CLASS,
        "storageversionmigrations" => &MIGRATION,
        "volumeattributesclasses" => &ATTRIBUTES_CLASS,
        "volumeattachments" => &VOLUME_ATTACHMENT,
        _ => return None,
    })
}

static ATTRIBUTES_CLASS: Kind = Kind {
    validate: validate::attributes_class,
    changes: validate::attributes_changes,
    cells: Some(cells::attributes_class),
    ..Kind::PLAIN
};
static CLASS: Kind = Kind {
    validate: validate::class,
    changes: validate::class_changes,
    warn: validate::class_warnings,
    cells: Some(cells::class),
    ..Kind::PLAIN
};
static CSI_CAPACITY: Kind = Kind {
    validate: validate::capacity,
    changes: validate::capacity_changes,
    cells: Some(crate::print::name_and_creation),
    ..Kind::CONDITIONAL
};
static CSI_DRIVER: Kind = Kind {
    name: csi::driver_name,
    // It counts what it is changed, and not that it was made.
    prepare_update: csi::count,
    validate: csi::driver,
    changes: csi::driver_changes,
    warn: csi::driver_warnings,
    cells: Some(cells::driver),
    ..Kind::CONDITIONAL
};
static CSI_NODE: Kind =
    Kind { validate: csi::node, changes: csi::node_changes, cells: Some(cells::node), ..Kind::CONDITIONAL };
static MIGRATION: Kind = Kind::CONDITIONAL;
static VOLUME_ATTACHMENT: Kind = Kind {
    status_keeps: STATUS_ALONE,
    validate: csi::attachment,
    changes: csi::attachment_changes,
    cells: Some(cells::attachment),
    ..Kind::CONDITIONAL
};
