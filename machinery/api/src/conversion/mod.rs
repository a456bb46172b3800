//! Between the versions of one object: pure functions, without loss. An object is stored in one version and served in
//! several; most differ in their name only, the rest stand in the files of this folder. The shape of the newest version
//! is the hub that the others are brought into and made from.
//!
//! Defaulting and validation are not done here, nor are the fields' owners (`managedFields`) renamed.

mod autoscaling;
mod definitions;
mod devices;
mod events;
mod pairs;

pub use definitions::{definition_from_kept, definition_to_kept, is_kept_definition};
pub use pairs::{same_addresses, same_ranges};
use serde_json::{Map, Value};

use crate::gvk::GroupVersionKind;
use crate::table::{Resource, Table};

/// How a version is shaped, beside the hub of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// As the hub.
    Hub,
    /// An Event of events.k8s.io/v1; the hub is the core group's.
    Event,
    /// A HorizontalPodAutoscaler of autoscaling/v1; the hub is v2's.
    Autoscaler,
    /// One of v2, which may not keep what v1 keeps.
    AutoscalerHub,
    /// A node, whose one range is the first of several.
    Node,
    /// A pod, whose one address is the first of several.
    Pod,
    /// A ResourceClaim of resource.k8s.io/v1beta1, whose requests are flat.
    Claim,
    /// A template of such claims.
    ClaimTemplate,
    /// A ResourceSlice of resource.k8s.io/v1beta1, whose devices are `basic`.
    Slice,
}

impl Shape {
    fn of(group: &str, version: &str, kind: &str) -> Self {
        match (group, version, kind) {
            ("", "v1", "Node") => Self::Node,
            ("", "v1", "Pod") => Self::Pod,
            ("events.k8s.io", _, "Event") => Self::Event,
            ("autoscaling", "v1", "HorizontalPodAutoscaler") => Self::Autoscaler,
            ("autoscaling", "v2", "HorizontalPodAutoscaler") => Self::AutoscalerHub,
            ("resource.k8s.io", "v1beta1", "ResourceClaim") => Self::Claim,
            ("resource.k8s.io", "v1beta1", "ResourceClaimTemplate") => Self::ClaimTemplate,
            ("resource.k8s.io", "v1beta1", "ResourceSlice") => Self::Slice,
            _ => Self::Hub,
        }
    }

    fn bring_into_hub(self, object: &mut Map<String, Value>) {
        match self {
            Self::Hub => {}
            Self::Node => pairs::node(object),
            Self::Pod => pairs::pod(object),
            Self::Event => events::to_core(object),
            Self::Autoscaler => autoscaling::to_v2(object),
            Self::AutoscalerHub => autoscaling::drop_kept(object),
            Self::Claim => devices::claim_to_hub(object),
            Self::ClaimTemplate => devices::template_to_hub(object),
            Self::Slice => devices::slice_to_hub(object),
        }
    }

    fn make_from_hub(self, object: &mut Map<String, Value>) {
        match self {
            Self::Hub | Self::Node | Self::Pod => {}
            Self::Event => events::from_core(object),
            Self::Autoscaler => autoscaling::to_v1(object),
            Self::AutoscalerHub => autoscaling::drop_kept(object),
            Self::Claim => devices::claim_from_hub(object),
            Self::ClaimTemplate => devices::template_from_hub(object),
            Self::Slice => devices::slice_from_hub(object),
        }
    }
}

/// The way from one version to another, found once and used for many objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    from: Shape,
    to: Shape,
    group: &'static str,
    version: &'static str,
}

impl Conversion {
    /// `None`: it is the same version, not the same object, or no kind of the table.
    pub fn between(from: &GroupVersionKind, to: &GroupVersionKind) -> Option<Self> {
        let known = |gvk| Table::builtin().resource_of_kind(gvk);
        Self::between_resources(known(from)?, known(to)?)
    }

    /// The same of two resources.
    pub fn between_resources(from: &Resource, to: &Resource) -> Option<Self> {
        let same_object = from.kind == to.kind && family(from.group) == family(to.group);
        if !same_object || (from.group, from.version) == (to.group, to.version) {
            return None;
        }
        let shape = |api: &Resource| Shape::of(api.group, api.version, api.kind);
        Some(Self { from: shape(from), to: shape(to), group: to.group, version: to.version })
    }

    /// From a version to itself through the hub, where that changes anything: what upstream's decoding, which always
    /// takes this way, makes of what a client sends.
    pub fn through_hub(api: &Resource) -> Option<Self> {
        let shape = Shape::of(api.group, api.version, api.kind);
        let lossy = matches!(shape, Shape::Autoscaler | Shape::AutoscalerHub | Shape::Node | Shape::Pod);
        lossy.then_some(Self { from: shape, to: shape, group: api.group, version: api.version })
    }

    /// What a field selector of the version it comes from is called in the version it leads to.
    pub fn field(self, name: &str) -> &str {
        match (self.from, self.to) {
            (Shape::Event, Shape::Hub) => events::core_field(name),
            _ => name,
        }
    }

    /// What is no object stays as it is.
    pub fn apply(self, object: &mut Value) {
        let Value::Object(fields) = object else { return };
        let api_version = match self.group {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        };
        fields.insert("apiVersion".into(), api_version.into());
        self.from.bring_into_hub(fields);
        self.to.make_from_hub(fields);
    }
}

/// Events of both groups are the same objects.
fn family(group: &str) -> &str {
    if group == "events.k8s.io" { "" } else { group }
}

/// Converts one object; true if it now is of version `to`.
pub fn convert(from: &GroupVersionKind, to: &GroupVersionKind, object: &mut Value) -> bool {
    if from == to {
        return true;
    }
    let way = Conversion::between(from, to);
    if let Some(way) = way {
        way.apply(object);
    }
    way.is_some()
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.into(), value);
    }
}

fn object_at<'o>(fields: &'o mut Map<String, Value>, field: &str) -> Option<&'o mut Map<String, Value>> {
    fields.get_mut(field).and_then(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gvk(api_version: &str, kind: &str) -> GroupVersionKind {
        GroupVersionKind::from_api_version(api_version, kind)
    }

    #[test]
    fn versions_that_differ_in_name_only_are_renamed() {
        let cases = [
            ("admissionregistration.k8s.io", "MutatingAdmissionPolicy", "v1beta1", "v1"),
            ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", "v1alpha1", "v1"),
            ("certificates.k8s.io", "ClusterTrustBundle", "v1alpha1", "v1beta1"),
            ("coordination.k8s.io", "LeaseCandidate", "v1alpha2", "v1beta1"),
            ("networking.k8s.io", "IPAddress", "v1beta1", "v1"),
            ("networking.k8s.io", "ServiceCIDR", "v1beta1", "v1"),
            ("resource.k8s.io", "DeviceClass", "v1beta1", "v1"),
            ("resource.k8s.io", "ResourceClaim", "v1beta2", "v1"),
            ("resource.k8s.io", "DeviceTaintRule", "v1alpha3", "v1beta2"),
            ("storage.k8s.io", "VolumeAttributesClass", "v1beta1", "v1"),
        ];
        for (group, kind, from, to) in cases {
            let (from, to) = (format!("{group}/{from}"), format!("{group}/{to}"));
            let mut object = json!({"apiVersion": from, "kind": kind, "spec": {"a": [1]}});
            assert!(convert(&gvk(&from, kind), &gvk(&to, kind), &mut object), "{kind}");
            assert_eq!(object, json!({"apiVersion": to, "kind": kind, "spec": {"a": [1]}}));
        }
    }

    /// Every two versions of a resource of the table are versions of the same object, in both directions.
    #[test]
    fn every_resource_converts_between_its_versions() {
        let resources = crate::Table::builtin().resources();
        for from in resources {
            for to in resources.iter().filter(|to| to.group == from.group && to.kind == from.kind) {
                let way = Conversion::between_resources(from, to);
                assert_eq!(way.is_none(), from.version == to.version, "{} {}", from.kind, to.version);
            }
        }
    }

    #[test]
    fn other_objects_are_left_alone() {
        let mut object = json!({"apiVersion": "v1", "kind": "Pod"});
        assert!(!convert(&gvk("v1", "Pod"), &gvk("apps/v1", "Pod"), &mut object));
        assert!(!convert(&gvk("v1", "Pod"), &gvk("v1", "Node"), &mut object));
        assert!(convert(&gvk("v1", "Pod"), &gvk("v1", "Pod"), &mut object));
        assert_eq!(object, json!({"apiVersion": "v1", "kind": "Pod"}));
    }
}
