use super::*;
use crate::testing::{Fixed, user};

type Pairs<'a> = &'a [(&'static str, &'a str)];

fn headers(pairs: Pairs<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().expect("a header"));
    }
    headers
}

fn caller() -> Arc<User> {
    Arc::new(user("root", &[]))
}

#[test]
fn groups_are_completed() {
    let cases: [(Pairs<'_>, &[&str]); 6] = [
        (&[("impersonate-user", "jane")], &["system:authenticated"]),
        (&[("impersonate-user", "jane"), ("impersonate-group", "a")], &["a", "system:authenticated"]),
        (
            &[("impersonate-user", "jane"), ("impersonate-group", "system:unauthenticated")],
            &["system:unauthenticated"],
        ),
        (&[("impersonate-user", "system:anonymous")], &["system:unauthenticated"]),
        (
            &[("impersonate-user", "system:serviceaccount:ns:bot")],
            &["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"],
        ),
        (
            &[("impersonate-user", "system:serviceaccount:ns:bot"), ("impersonate-group", "a")],
            &["a", "system:authenticated"],
        ),
    ];
    for (given, want) in cases {
        let wish = parse(&headers(given), &caller()).expect("well formed").expect("a user is asked for");
        assert_eq!(wish.user.groups, want, "{given:?}");
    }
}

#[test]
fn every_part_is_asked_about() {
    let given = headers(&[
        ("impersonate-user", "jane"),
        ("impersonate-group", "devs"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-acme.com%2fproject", "x"),
    ]);
    let wish = parse(&given, &caller()).expect("well formed").expect("a user is asked for");
    let asked: Vec<String> = wish.checks.iter().map(crate::authorization::denied_message).collect();
    let cannot =
        |what: &str| format!("User \"root\" cannot impersonate resource {what} at the cluster scope");
    assert_eq!(
        asked,
        [
            cannot("\"users\" in API group \"\""),
            cannot("\"groups\" in API group \"\""),
            cannot("\"userextras/acme.com/project\" in API group \"authentication.k8s.io\""),
            cannot("\"uids\" in API group \"authentication.k8s.io\""),
        ]
    );
    assert_eq!(wish.user.extra["acme.com/project"], ["x"]);
    assert_eq!(wish.user.uid, "7");
}

#[tokio::test]
async fn the_caller_must_be_allowed() {
    let may = Fixed(|asked| asked.resource == "users" && asked.name == "jane");
    let jane = headers(&[("impersonate-user", "jane")]);
    let who = impersonate(&jane, &caller(), &may).await.expect("allowed");
    assert_eq!(who.expect("somebody else").name, "jane");
    assert_eq!(impersonate(&headers(&[]), &caller(), &may).await.expect("nothing asked"), None);
    let bob = headers(&[("impersonate-user", "bob")]);
    let status = impersonate(&bob, &caller(), &may).await.expect_err("not allowed");
    assert_eq!(
        status.message,
        "users \"bob\" is forbidden: User \"root\" cannot impersonate resource \"users\" in API group \"\" at the \
         cluster scope"
    );
    let nobody = headers(&[("impersonate-group", "a")]);
    let status = impersonate(&nobody, &caller(), &may).await.expect_err("a group alone is nobody");
    assert_eq!(status.code, 500);
}
