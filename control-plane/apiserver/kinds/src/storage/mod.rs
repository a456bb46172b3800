//! The storage group.

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "csidrivers" => &CSI_DRIVER,
        "csinodes" => &CSI_NODE,
        "csistoragecapacities" | "storageversionmigrations" => &CONDITIONAL,
        "volumeattachments" => &VOLUME_ATTACHMENT,
        _ => return None,
    })
}

static CONDITIONAL: Kind = Kind::CONDITIONAL;
static CSI_DRIVER: Kind = Kind::CONDITIONAL;
static CSI_NODE: Kind = Kind::CONDITIONAL;
static VOLUME_ATTACHMENT: Kind = Kind::CONDITIONAL;
