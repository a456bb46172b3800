use serde_json::{Value, json};

use super::super::tests::{create, create_pod, told};
use super::LimitRanger;
use crate::resources::LIMIT_RANGES;
use crate::testing::{FakeObjects, object};

fn range(limits: Value) -> LimitRanger {
    let mut range = object("default", "limits", "");
    range["spec"] = json!({"limits": limits});
    LimitRanger::new(FakeObjects::with(&[(&LIMIT_RANGES, range)]))
}

#[tokio::test]
async fn what_is_not_said_is_given() {
    let limits = json!([{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"},
        "defaultRequest": {"cpu": "100m"}}]);
    let spec = json!({
        "initContainers": [{"name": "i"}],
        "containers": [{"name": "a", "resources": {"limits": {"cpu": "2"}}}],
    });
    let pod = create_pod(spec).through(range(limits)).await.expect("admitted");
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container a; memory limit for container a; cpu request for init \
         container i; cpu, memory limit for init container i"
    );
}

#[tokio::test]
async fn bounds() {
    let container = |requests: Value, limits: Value| {
        create_pod(json!({"containers": [
            {"name": "a", "resources": {"requests": requests, "limits": limits}},
        ]}))
    };
    let min = json!([{"type": "Container", "min": {"cpu": "100m"}}]);
    let max = json!([{"type": "Container", "max": {"cpu": "1"}}]);
    let ratio = json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}]);
    let pod = json!([{"type": "Pod", "max": {"memory": "1Gi"}}]);
    let claim =
        json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]);
    let claiming = |size: &str| {
        let mut claim = object("default", "data", "");
        claim["spec"] = json!({"resources": {"requests": {"storage": size}}});
        create("", "persistentvolumeclaims", claim)
    };
    let cases = [
        (container(json!({"cpu": "100m"}), json!({})), &min, ""),
        (
            container(json!({}), json!({})),
            &min,
            "minimum cpu usage per Container is 100m.  No request is specified",
        ),
        (
            container(json!({"cpu": "50m"}), json!({})),
            &min,
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            container(json!({}), json!({})),
            &max,
            "maximum cpu usage per Container is 1.  No limit is specified",
        ),
        (
            container(json!({}), json!({"cpu": "2"})),
            &max,
            "maximum cpu usage per Container is 1, but limit is 2",
        ),
        (container(json!({"cpu": "1"}), json!({"cpu": "2"})), &ratio, ""),
        (
            container(json!({"cpu": "1"}), json!({"cpu": "3"})),
            &ratio,
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            container(json!({}), json!({"memory": "2Gi"})),
            &pod,
            "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
        ),
        (claiming("1Gi"), &claim, ""),
        (
            claiming("5Gi"),
            &claim,
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 5Gi",
        ),
        (
            claiming("10Mi"),
            &claim,
            "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 10Mi",
        ),
    ];
    for (ask, limits, want) in cases {
        let got = told(ask.through(range(limits.clone())).await);
        match got {
            Ok(()) => assert_eq!("", want),
            Err((code, message)) => {
                assert_eq!(code, 403);
                assert!(message.ends_with(&format!("is forbidden: {want}")) && !want.is_empty(), "{message}");
            }
        }
    }
}
