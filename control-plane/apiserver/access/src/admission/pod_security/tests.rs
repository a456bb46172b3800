use serde_json::{Value, json};

use super::super::tests::{Ask, create, create_pod, told};
use super::*;
use crate::testing::{FakeObjects, object, pod};

fn namespace(labels: Value) -> Value {
    let mut namespace = object("", "default", "");
    namespace["metadata"]["labels"] = labels;
    namespace
}

fn plugin(labels: Value, config: PodSecurityConfig) -> PodSecurity {
    let objects = FakeObjects::with(&[
        (&NAMESPACES, namespace(labels)),
        (&PODS, pod("old", "", json!({"hostPID": true, "containers": [{"name": "a"}]}))),
        (&PODS, pod("older", "", json!({"hostPID": true, "containers": [{"name": "a"}]}))),
    ]);
    PodSecurity::new(objects, config, AccessMetrics::new())
}

fn enforce(level: &str) -> Value {
    json!({"pod-security.kubernetes.io/enforce": level})
}

/// What a pod of this spec is refused for.
async fn refusal(labels: Value, spec: Value) -> String {
    let refused = told(create_pod(spec).through(plugin(labels, PodSecurityConfig::default())).await);
    let prefix = "pods \"web\" is forbidden: violates PodSecurity ";
    refused
        .err()
        .map(|(_, message)| message.strip_prefix(prefix).unwrap_or(&message).to_string())
        .unwrap_or_default()
}

#[tokio::test]
async fn baseline() {
    let container = |fields: Value| {
        let mut container = fields;
        container["name"] = "a".into();
        json!({"containers": [container]})
    };
    let security = |fields: Value| container(json!({"securityContext": fields}));
    let cases = [
        (container(json!({})), ""),
        (
            security(json!({"privileged": true})),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        ),
        (
            json!({"hostNetwork": true, "hostIPC": true, "containers": []}),
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "emptyDir": {}}]}),
            "hostPath volumes (volume \"v\")",
        ),
        (
            container(json!({"ports": [{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]})),
            "hostPort (container \"a\" uses hostPorts 443, 80)",
        ),
        (
            security(json!({"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}})),
            "non-default capabilities (container \"a\" must not include \"NET_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            security(json!({"procMount": "Unmasked"})),
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            security(json!({"seLinuxOptions": {"type": "spc_t", "user": "u"}})),
            "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set)",
        ),
        (
            security(json!({"seccompProfile": {"type": "Unconfined"}})),
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.msgmax"}]}}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            container(json!({"livenessProbe": {"httpGet": {"host": "1.2.3.4"}}})),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"1.2.3.4\")",
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}, "containers": []}),
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            security(json!({"windowsOptions": {"hostProcess": true}})),
            "hostProcess (container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ];
    for (spec, want) in cases {
        let want = if want.is_empty() { String::new() } else { format!("\"baseline:latest\": {want}") };
        assert_eq!(refusal(enforce("baseline"), spec).await, want);
    }
}

#[tokio::test]
async fn restricted() {
    let plain = json!({"containers": [{"name": "a"}]});
    assert_eq!(
        refusal(enforce("restricted"), plain.clone()).await,
        "\"restricted:latest\": allowPrivilegeEscalation != false (container \"a\" must set \
         securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"a\" must set \
         securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"a\" must set \
         securityContext.runAsNonRoot=true), seccompProfile (pod or container \"a\" must set \
         securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let hardened = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "v", "image": {}}, {"name": "t", "projected": {}}],
        "containers": [{"name": "a", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        }}],
    });
    assert_eq!(refusal(enforce("restricted"), hardened.clone()).await, "");
    let mut volumes = hardened.clone();
    volumes["volumes"] = json!([{"name": "v", "nfs": {}}, {"name": "h", "hostPath": {}}]);
    assert_eq!(
        refusal(enforce("restricted"), volumes).await,
        "\"restricted:latest\": restricted volume types (volumes \"v\", \"h\" use restricted volume types \"hostPath\", \
         \"nfs\")"
    );
    let mut root = hardened.clone();
    root["securityContext"]["runAsUser"] = 0.into();
    assert_eq!(
        refusal(enforce("restricted"), root.clone()).await,
        "\"restricted:latest\": runAsUser=0 (pod must not set runAsUser=0)"
    );
    root["hostUsers"] = false.into();
    assert_eq!(refusal(enforce("restricted"), root.clone()).await, "");
    let mut old = enforce("restricted");
    old["pod-security.kubernetes.io/enforce-version"] = "v1.34".into();
    assert_eq!(refusal(old, root).await, "\"restricted:v1.34\": runAsUser=0 (pod must not set runAsUser=0)");
    let mut ancient = enforce("restricted");
    ancient["pod-security.kubernetes.io/enforce-version"] = "v1.7".into();
    let non_root = "\"restricted:v1.7\": runAsNonRoot != true (pod or container \"a\" must set \
                    securityContext.runAsNonRoot=true)";
    assert_eq!(refusal(ancient, plain).await, non_root);
}

fn labelled(labels: Value) -> Ask {
    create("", "namespaces", namespace(labels)).namespace("default").name("default")
}

#[tokio::test]
async fn namespaces() {
    let through = async |ask: Ask| {
        let (result, warnings, _) =
            ask.telling(Arc::new(plugin(json!({}), PodSecurityConfig::default()))).await;
        (told(result), warnings)
    };
    let (result, _) = through(labelled(enforce("strict"))).await;
    let why = "Namespace \"default\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \
               \"strict\": must be one of privileged, baseline, restricted";
    assert_eq!(result, Err((422, why.to_string())));
    let same = labelled(enforce("strict")).update(namespace(enforce("strict")));
    assert_eq!(through(same).await.0, Ok(()), "an old fault stays");
    let stricter = labelled(enforce("baseline")).update(namespace(json!({})));
    assert_eq!(
        through(stricter).await,
        (
            Ok(()),
            vec![
                "existing pods in namespace \"default\" violate the new PodSecurity enforce level \"baseline:latest\""
                    .to_string(),
                "old (and 1 other pod): host namespaces".to_string(),
            ]
        )
    );
    let relaxed = labelled(enforce("baseline")).update(namespace(enforce("restricted")));
    assert_eq!(through(relaxed).await, (Ok(()), vec![]));
}

#[tokio::test]
async fn workloads_are_warned_and_audited() {
    let mut deployment = object("default", "web", "");
    deployment["spec"] = json!({"template": {"spec": {"hostPID": true, "containers": []}}});
    let labels = json!({
        "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/audit": "baseline",
    });
    let ask = create("apps", "deployments", deployment);
    let (result, warnings, annotations) =
        ask.telling(Arc::new(plugin(labels, PodSecurityConfig::default()))).await;
    let told_of = "would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert!(result.is_ok(), "controllers are not refused");
    assert_eq!(warnings, [told_of]);
    assert_eq!(annotations["pod-security.kubernetes.io/audit-violations"], told_of);
}

#[tokio::test]
async fn exemptions() {
    let config = PodSecurityConfig { exempt_users: vec!["jane".into()], ..PodSecurityConfig::default() };
    let spec = json!({"hostPID": true, "containers": []});
    let ask = create_pod(spec.clone());
    let (result, _, annotations) = ask.telling(Arc::new(plugin(enforce("baseline"), config))).await;
    assert!(result.is_ok());
    assert_eq!(annotations["pod-security.kubernetes.io/exempt"], "user");
    let config =
        PodSecurityConfig { exempt_runtime_classes: vec!["kata".into()], ..PodSecurityConfig::default() };
    let mut sandboxed = spec;
    sandboxed["runtimeClassName"] = "kata".into();
    assert!(create_pod(sandboxed).through(plugin(enforce("baseline"), config)).await.is_ok());
}

#[tokio::test]
async fn updates_count_where_they_could_weaken() {
    let container = |image: &str| json!({"hostPID": true, "containers": [{"name": "a", "image": image}]});
    let update = |new: &str| create_pod(container(new)).update(pod("web", "", container("one")));
    let refused = async |ask: Ask| {
        ask.through(plugin(enforce("baseline"), PodSecurityConfig::default())).await.is_err()
    };
    assert!(!refused(update("one")).await, "nothing changed");
    assert!(refused(update("two")).await);
    assert!(!refused(update("two").sub("status")).await);
}

#[tokio::test]
async fn labels_of_exempt_namespaces_are_told_to_be_idle() {
    let config =
        PodSecurityConfig { exempt_namespaces: vec!["default".into()], ..PodSecurityConfig::default() };
    let (result, warnings, _) =
        labelled(enforce("baseline")).telling(Arc::new(plugin(json!({}), config))).await;
    assert!(result.is_ok());
    let want = "namespace \"default\" is exempt from Pod Security, and the policy (enforce=baseline:latest) will be ignored";
    assert_eq!(warnings, [want]);
}
