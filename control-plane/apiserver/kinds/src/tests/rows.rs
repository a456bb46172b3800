//! Table rows and generations.

use super::*;

fn check_cells(name: &str, object: Value, want: &[(usize, Value)]) {
    let strategy = strategy_for(&resource_of(&object));
    let cells = strategy.table_cells(&object, Timestamp::UNIX_EPOCH).expect("the kind has cells");
    for (index, want) in want {
        assert_eq!(&cells[*index], want, "{name}: {cells:?}");
    }
}

#[test]
fn rows_read_as_upstreams() {
    check_cells(
        "balanced",
        named(
            "v1",
            "Service",
            json!({"spec": {
                "type": "LoadBalancer", "clusterIPs": ["10.0.0.9"],
                "ports": [{"port": 80, "protocol": "TCP"}, {"port": 443, "nodePort": 30443, "protocol": "TCP"}],
            }}),
        ),
        &[
            (2, "10.0.0.9".into()),
            (3, "<pending>".into()),
            (4, "80/TCP,443:30443/TCP".into()),
            (5, "<unknown>".into()),
        ],
    );
    check_cells(
        "node",
        json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
        }),
        &[
            (1, "Ready,SchedulingDisabled".into()),
            (2, "control-plane".into()),
            (5, "10.0.0.1".into()),
            (6, "<none>".into()),
        ],
    );
    check_cells(
        "slice",
        named(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({
                "addressType": "IPv4", "ports": [{"port": 80}],
                "endpoints": [{"addresses": ["1.1.1.1"]}, {"addresses": ["2.2.2.2"]}, {"addresses": ["3.3.3.3"]}, {"addresses": ["4.4.4.4"]}],
            }),
        ),
        &[(2, "80".into()), (3, "1.1.1.1,2.2.2.2,3.3.3.3 + 1 more...".into())],
    );
    check_cells(
        "deployment",
        workload("Deployment", json!({"replicas": 3})),
        &[(1, "0/3".into()), (2, 0.into()), (5, "a".into()), (7, "app=x".into())],
    );
}

#[test]
fn generations_count_what_upstream_counts() {
    let grows = |api_version: &str, kind: &str, old: Value, new: Value| {
        let (old, new) = (named(api_version, kind, old), named(api_version, kind, new));
        let strategy = strategy_for(&resource_of(&old));
        assert!(strategy.has_generation(), "{kind}");
        strategy.generation_changes(&new, &old)
    };
    assert!(grows("v1", "Pod", json!({"spec": {"a": 1}}), json!({"spec": {"a": 2}})));
    assert!(!grows("v1", "Pod", json!({"status": {"a": 1}}), json!({"status": {"a": 2}})));
    let annotated = json!({"metadata": {"annotations": {"a": "b"}}});
    assert!(grows("apps/v1", "Deployment", json!({}), annotated.clone()));
    assert!(!grows("apps/v1", "ReplicaSet", json!({}), annotated));
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    assert!(grows("discovery.k8s.io/v1", "EndpointSlice", json!({}), labelled));
}
