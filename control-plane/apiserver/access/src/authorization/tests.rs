use super::*;
use crate::testing::{Fixed, ask, ask_path, user};

#[test]
fn refusals_read_as_upstreams() {
    let jane = user("jane", &[]);
    let check = |attributes: Attributes, want: &str| assert_eq!(denied_message(&attributes), want);
    check(
        ask(&jane, "list", "pods", "default", ""),
        "User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
    );
    check(
        ask(&jane, "get", "apps:deployments/scale", "x", "web"),
        "User \"jane\" cannot get resource \"deployments/scale\" in API group \"apps\" in the namespace \"x\"",
    );
    check(
        ask(&jane, "list", "nodes", "", ""),
        "User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
    );
    check(ask_path(&jane, "get", "/metrics"), "User \"jane\" cannot get path \"/metrics\"");
    let status = forbidden(&ask(&jane, "get", "secrets", "default", "s"), "because");
    assert_eq!(
        status.message,
        "secrets \"s\" is forbidden: User \"jane\" cannot get resource \"secrets\" in API group \"\" in the \
         namespace \"default\": because"
    );
    let path = forbidden(&ask_path(&jane, "get", "/metrics"), "");
    assert_eq!(path.message, "forbidden: User \"jane\" cannot get path \"/metrics\"");
}

#[tokio::test]
async fn the_first_opinion_decides() {
    let chain =
        AuthorizationChain::new(vec![Arc::new(Superusers), Arc::new(Fixed(|asked| asked.verb == "get"))]);
    let jane = user("jane", &[]);
    let root = user("root", &[MASTERS]);
    assert!(matches!(chain.authorize(&ask(&jane, "get", "pods", "", "")).await, Decision::Allow(_)));
    assert!(matches!(chain.authorize(&ask(&jane, "list", "pods", "", "")).await, Decision::NoOpinion(_)));
    assert!(matches!(chain.authorize(&ask(&root, "list", "pods", "", "")).await, Decision::Allow(_)));
}
