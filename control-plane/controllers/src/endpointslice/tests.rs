use super::*;
use crate::testing::{PodBuilder, pod};
use serde_json::{from_value, json};

fn service(spec: serde_json::Value) -> Service {
    let service = json!({
        "metadata": {"namespace": "default", "name": "web", "uid": "s", "labels": {"team": "x"}}, "spec": spec,
    });
    from_value(service).expect("a service")
}

fn plain() -> Service {
    service(
        json!({"clusterIP": "10.96.0.2", "ipFamilies": ["IPv4"], "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}),
    )
}

fn ready(name: &str, ip: &str) -> PodBuilder {
    pod(name).node("n").phase("Running").ip(ip).ready_since("2026-01-01T00:00:00Z")
}

fn pods(builders: Vec<PodBuilder>) -> Vec<Arc<Pod>> {
    builders.into_iter().map(|pod| Arc::new(pod.build())).collect()
}

fn zone(node: &str) -> Option<String> {
    Some(format!("zone-of-{node}"))
}

/// `ip:ready/serving/terminating` of all endpoints.
fn conditions(service: &Service, pods: &[Arc<Pod>]) -> String {
    let bit = |bit: Option<bool>| if bit == Some(true) { '1' } else { '0' };
    let lines = endpoints::wanted(service, pods, &zone).into_iter().flat_map(|group| group.endpoints);
    let lines = lines.map(|endpoint| {
        let c = endpoint.conditions.unwrap_or_default();
        format!("{}:{}{}{}", endpoint.addresses[0], bit(c.ready), bit(c.serving), bit(c.terminating))
    });
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn conditions_follow_the_pod() {
    let all = pods(vec![
        ready("a", "10.0.0.1"),
        pod("b").node("n").phase("Running").ip("10.0.0.2"),
        ready("c", "10.0.0.3").deleting(),
        pod("d").node("n").phase("Pending"),
        pod("e").node("n").phase("Succeeded").ip("10.0.0.5"),
    ]);
    assert_eq!(conditions(&plain(), &all), "10.0.0.1:110 10.0.0.2:000 10.0.0.3:011");
    let mut publish = plain();
    publish.spec.get_or_insert_default().publish_not_ready_addresses = Some(true);
    assert_eq!(conditions(&publish, &all), "10.0.0.1:110 10.0.0.2:100 10.0.0.3:111");
}

#[test]
fn an_endpoint_says_where_it_is_and_what_it_is_called() {
    let headless = service(json!({"clusterIP": "None", "selector": {"app": "web"}}));
    let named = ready("a", "10.0.0.1").with(|pod| {
        let spec = pod.spec.get_or_insert_default();
        (spec.hostname, spec.subdomain) = (Some("zero".into()), Some("web".into()));
    });
    let group = endpoints::wanted(&headless, &pods(vec![named]), &zone).remove(0);
    let endpoint = &group.endpoints[0];
    assert_eq!(endpoint.hostname.as_deref(), Some("zero"));
    assert_eq!(endpoint.node_name.as_deref(), Some("n"));
    assert_eq!(endpoint.zone.as_deref(), Some("zone-of-n"));
    assert_eq!(endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref()), Some("a"));
    assert!(group.ports.is_empty());
    assert!(endpoints::labels(&headless).contains_key("service.kubernetes.io/headless"));
}

#[test]
fn a_named_port_is_each_pods_own() {
    let service = service(
        json!({"ipFamilies": ["IPv4"], "selector": {}, "ports": [{"port": 80, "targetPort": "http"}]}),
    );
    let serving = |name: &str, ip: &str, port: i32| {
        ready(name, ip).with(move |pod| {
            let container = json!({"name": "c", "ports": [{"name": "http", "containerPort": port}]});
            pod.spec.get_or_insert_default().containers = vec![from_value(container).expect("a container")];
        })
    };
    let groups = endpoints::wanted(
        &service,
        &pods(vec![
            serving("a", "1.1.1.1", 8080),
            serving("b", "1.1.1.2", 9090),
            serving("c", "1.1.1.3", 8080),
        ]),
        &zone,
    );
    let ports: Vec<_> = groups.iter().map(|group| (group.ports[0].port, group.endpoints.len())).collect();
    assert_eq!(ports, [(Some(8080), 2), (Some(9090), 1)]);
}

/// Plans for so many pods, given the slices of a plan before.
fn next(service: &Service, pods: &[Arc<Pod>], slices: &[Arc<EndpointSlice>]) -> Plan {
    plan::plan(service, endpoints::wanted(service, pods, &zone), slices)
}

fn many(range: std::ops::Range<usize>) -> Vec<Arc<Pod>> {
    pods(range.map(|n| ready(&format!("p{n}"), &format!("10.0.{}.{}", n / 250, n % 250))).collect())
}

/// The slices as the API would keep them.
fn kept(plan: Plan) -> Vec<Arc<EndpointSlice>> {
    let slices = plan.create.into_iter().chain(plan.update).enumerate();
    slices
        .map(|(n, mut slice)| {
            slice.metadata.name.get_or_insert(format!("s{n}"));
            Arc::new(slice)
        })
        .collect()
}

fn shape(plan: &Plan) -> (Vec<usize>, Vec<usize>, usize) {
    let sizes = |slices: &[EndpointSlice]| {
        slices.iter().map(|slice| slice.endpoints.iter().flatten().count()).collect()
    };
    (sizes(&plan.create), sizes(&plan.update), plan.delete.len())
}

#[test]
fn endpoints_are_spread_with_few_writes() {
    let service = plain();
    let first = next(&service, &many(0..250), &[]);
    assert_eq!(shape(&first), (vec![100, 100, 50], vec![], 0));
    let slices = kept(first);
    assert_eq!(shape(&next(&service, &many(0..250), &slices)), (vec![], vec![], 0), "nothing changed");
    assert_eq!(shape(&next(&service, &many(0..251), &slices)), (vec![], vec![51], 0), "room in the last");
    assert_eq!(shape(&next(&service, &many(1..251), &slices)), (vec![], vec![100], 0), "one went, one came");
    assert_eq!(shape(&next(&service, &many(0..200), &slices)), (vec![], vec![], 1), "an empty slice goes");
    assert_eq!(
        shape(&next(&service, &many(0..301), &slices)),
        (vec![51], vec![], 0),
        "more than fits in one"
    );
}

#[test]
fn a_service_without_pods_keeps_one_empty_slice() {
    let service = plain();
    let first = next(&service, &[], &[]);
    assert_eq!(shape(&first), (vec![0], vec![], 0));
    let slices = kept(first);
    assert_eq!(shape(&next(&service, &[], &slices)), (vec![], vec![], 0));
    let filled = next(&service, &many(0..1), &slices);
    assert_eq!(shape(&filled), (vec![], vec![1], 0), "its ports differ, but the slice serves");
    let back = next(&service, &[], &kept(filled));
    assert_eq!(shape(&back), (vec![], vec![0], 0));
}
