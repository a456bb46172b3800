//! The resources that the deciders read, named once.

use std::sync::LazyLock;

use oarlock_api::GroupResource;

macro_rules! resources {
    ($($name:ident = $group:literal, $resource:literal;)*) => {
        $(pub(crate) static $name: LazyLock<GroupResource> =
            LazyLock::new(|| GroupResource::new($group, $resource));)*
    };
}

resources! {
    LIMIT_RANGES = "", "limitranges";
    NAMESPACES = "", "namespaces";
    NODES = "", "nodes";
    PERSISTENT_VOLUMES = "", "persistentvolumes";
    PERSISTENT_VOLUME_CLAIMS = "", "persistentvolumeclaims";
    PODS = "", "pods";
    RESOURCE_QUOTAS = "", "resourcequotas";
    SECRETS = "", "secrets";
    SERVICE_ACCOUNTS = "", "serviceaccounts";
    CLUSTER_ROLES = "rbac.authorization.k8s.io", "clusterroles";
    CLUSTER_ROLE_BINDINGS = "rbac.authorization.k8s.io", "clusterrolebindings";
    ROLES = "rbac.authorization.k8s.io", "roles";
    ROLE_BINDINGS = "rbac.authorization.k8s.io", "rolebindings";
    INGRESS_CLASSES = "networking.k8s.io", "ingressclasses";
    RUNTIME_CLASSES = "node.k8s.io", "runtimeclasses";
    STORAGE_CLASSES = "storage.k8s.io", "storageclasses";
    PRIORITY_CLASSES = "scheduling.k8s.io", "priorityclasses";
    RESOURCE_SLICES = "resource.k8s.io", "resourceslices";
    VOLUME_ATTACHMENTS = "storage.k8s.io", "volumeattachments";
}
