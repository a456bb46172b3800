//! What the cluster looks like to DNS: look-ups in the informers' caches.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use oarlock_client::Informer;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const BY_IP: &str = "ip";
const BY_SERVICE: &str = "service";

/// The look-ups that answers are made of.
pub(crate) trait View {
    fn namespace_exists(&self, namespace: &str) -> bool;
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>>;
    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>>;
    /// The Services with this cluster address.
    fn services_at(&self, ip: IpAddr) -> Vec<Arc<Service>>;
    /// The slices with an endpoint at this address.
    fn slices_at(&self, ip: IpAddr) -> Vec<Arc<EndpointSlice>>;
}

/// The informers behind [`View`].
#[derive(Clone)]
pub(crate) struct ClusterView {
    namespaces: Informer<Namespace>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
}

impl ClusterView {
    pub(crate) fn new(
        namespaces: Informer<Namespace>,
        services: Informer<Service>,
        slices: Informer<EndpointSlice>,
    ) -> Self {
        namespaces.project(|namespace| {
            namespace.metadata.managed_fields = None;
            namespace.metadata.annotations = None;
            namespace.spec = None;
            namespace.status = None;
        });
        services.project(|service| {
            service.metadata.managed_fields = None;
            service.metadata.annotations = None;
            service.status = None;
        });
        slices.project(|slice| {
            slice.metadata.managed_fields = None;
            slice.metadata.annotations = None;
        });
        services.add_index(BY_IP, |service| {
            let spec = service.spec.as_ref();
            let all: BTreeSet<&String> =
                spec.iter().flat_map(|s| s.cluster_ips.iter().flatten().chain(&s.cluster_ip)).collect();
            all.into_iter().filter(|ip| ip.parse::<IpAddr>().is_ok()).cloned().collect()
        });
        slices.add_index(BY_SERVICE, |slice| service_of(slice).into_iter().collect());
        slices.add_index(BY_IP, |slice| {
            slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()).collect()
        });
        Self { namespaces, services, slices }
    }

    pub(crate) async fn synced(&self) {
        self.namespaces.synced().await;
        self.services.synced().await;
        self.slices.synced().await;
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.namespaces.is_synced() && self.services.is_synced() && self.slices.is_synced()
    }
}

fn service_of(slice: &EndpointSlice) -> Option<String> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(format!("{}/{name}", slice.metadata.namespace.as_deref().unwrap_or_default()))
}

impl View for ClusterView {
    fn namespace_exists(&self, namespace: &str) -> bool {
        self.namespaces.store().get("", namespace).is_some()
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.store().get(namespace, name)
    }

    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices.store().by_index(BY_SERVICE, &format!("{namespace}/{service}"))
    }

    fn services_at(&self, ip: IpAddr) -> Vec<Arc<Service>> {
        self.services.store().by_index(BY_IP, &ip.to_string())
    }

    fn slices_at(&self, ip: IpAddr) -> Vec<Arc<EndpointSlice>> {
        self.slices.store().by_index(BY_IP, &ip.to_string())
    }
}
