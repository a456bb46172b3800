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

/// What the caller may do, one `verb resource/subresource name` a line.
struct May(&'static [&'static str]);

#[async_trait::async_trait]
impl Authorizer for May {
    async fn authorize(&self, asked: &Attributes) -> Decision {
        let sub =
            if asked.subresource.is_empty() { String::new() } else { format!("/{}", asked.subresource) };
        let line = format!("{} {}{sub} {}", asked.verb, asked.resource, asked.name);
        if self.0.contains(&line.as_str()) {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion(String::new())
        }
    }

    async fn rules_for(&self, _user: &User, _namespace: &str) -> crate::types::Rules {
        crate::types::Rules::default()
    }
}

async fn act(
    may: &'static [&'static str],
    caller: User,
    given: Pairs<'_>,
) -> Result<(String, &'static str), String> {
    let asked = crate::testing::ask(&caller, "list", "pods", "default", "");
    let acted = Impersonator::new(Arc::new(May(may))).act(&headers(given), &asked).await;
    acted
        .map(|acted| acted.map(|a| (a.user.groups.join(","), a.constraint)).unwrap_or_default())
        .map_err(|status| status.message)
}

#[tokio::test]
async fn impersonation_is_constrained_to_what_is_done() {
    let root = || user("root", &[]);
    let jane: Pairs<'_> = &[("impersonate-user", "jane")];
    let as_jane = Ok(("system:authenticated".to_string(), "impersonate:user-info"));
    assert_eq!(
        act(&["impersonate-on:user-info:list pods ", "impersonate:user-info users jane"], root(), jane).await,
        as_jane
    );
    assert_eq!(act(&["impersonate users jane"], root(), jane).await, Ok(("system:authenticated".into(), "")));
    let refused = "pods is forbidden: User \"root\" cannot impersonate-on:user-info:list resource \"pods\" in API group \
                   \"\" in the namespace \"default\"";
    assert_eq!(act(&["impersonate:user-info users jane"], root(), jane).await, Err(refused.into()));
    let bot: Pairs<'_> = &[("impersonate-user", "system:serviceaccount:ns:bot")];
    let as_bot = "system:serviceaccounts,system:serviceaccounts:ns,system:authenticated";
    assert_eq!(
        act(
            &["impersonate-on:serviceaccount:list pods ", "impersonate:serviceaccount serviceaccounts bot"],
            root(),
            bot
        )
        .await,
        Ok((as_bot.into(), "impersonate:serviceaccount"))
    );
    let mut agent = user("system:serviceaccount:kube-system:agent", &[]);
    agent.extra.insert(crate::names::EXTRA_NODE_NAME.into(), vec!["n1".into()]);
    let own: &[&str] = &["impersonate-on:associated-node:list pods ", "impersonate:associated-node nodes *"];
    let as_node = Ok(("system:nodes,system:authenticated".to_string(), "impersonate:associated-node"));
    assert_eq!(act(own, agent.clone(), &[("impersonate-user", "system:node:n1")]).await, as_node);
    assert!(act(own, agent, &[("impersonate-user", "system:node:n2")]).await.is_err());
    let masters: Pairs<'_> = &[("impersonate-user", "jane"), ("impersonate-group", "system:masters")];
    let all: &[&str] = &[
        "impersonate-on:user-info:list pods ",
        "impersonate:user-info users jane",
        "impersonate:user-info groups system:masters",
    ];
    assert!(
        act(all, root(), masters)
            .await
            .is_err_and(|why| why.ends_with("the system:masters group is not allowed"))
    );
    let nobody: Pairs<'_> = &[("impersonate-group", "a")];
    let told = "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"a\"}, Extra:map[string][]string(nil)} \
                without impersonating a user name";
    assert_eq!(act(&[], root(), nobody).await, Err(told.into()));
    assert_eq!(act(&[], root(), &[]).await, Ok((String::new(), "")), "nobody else is asked for");
}
