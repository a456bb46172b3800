//! The `authorizer` of expressions. CEL does not wait; an authoriser that answers at once is asked in passing. Where one
//! must wait, the evaluation stops, the answer is fetched and kept, and the evaluation starts again.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::Arc;

use futures::FutureExt as _;
use oarlock_api::selector::{FieldSelector, LabelSelector};
use oarlock_apiserver_access::{Attributes, Authorizer, Decision as Answer, User};
use oarlock_cel::{Authorize, AuthorizerCheck, CheckResult, Decision, ResourceCheck, Subject, Target};
use parking_lot::Mutex;

use crate::facts::Facts;

/// An evaluation stopped: this must be answered first.
pub(crate) type Pending = Box<AuthorizerCheck>;

/// Asks on behalf of one request's user, each question once.
pub(crate) struct Asker {
    authorizer: Arc<dyn Authorizer>,
    user: Arc<User>,
    answers: Mutex<HashMap<AuthorizerCheck, Decision>>,
}

impl Asker {
    pub(crate) fn new(authorizer: Arc<dyn Authorizer>, facts: &Facts<'_>) -> Self {
        Self { authorizer, user: facts.user.clone(), answers: Mutex::default() }
    }

    /// Runs `work` until nothing is pending. Ends: each round answers one more of the questions that an expression's
    /// cost limit lets it ask.
    pub(crate) async fn resolve<T>(&self, work: impl Fn(&Self) -> Result<T, Pending>) -> T {
        loop {
            match work(self) {
                Ok(done) => return done,
                Err(check) => {
                    let decision = self.ask(&check).await;
                    self.answers.lock().insert(*check, decision);
                }
            }
        }
    }

    async fn ask(&self, check: &AuthorizerCheck) -> Decision {
        let attributes = match self.attributes(check) {
            Ok(attributes) => attributes,
            Err(error) => return Decision { allowed: false, reason: String::new(), error: Some(error) },
        };
        let (allowed, reason) = match self.authorizer.authorize(&attributes).await {
            Answer::Allow(reason) => (true, reason),
            Answer::Deny(reason) | Answer::NoOpinion(reason) => (false, reason),
        };
        Decision { allowed, reason, error: None }
    }

    fn attributes(&self, check: &AuthorizerCheck) -> Result<Attributes, String> {
        let user = match &check.user {
            Subject::Requester => self.user.clone(),
            Subject::ServiceAccount { namespace, name } => Arc::new(service_account(namespace, name)),
        };
        let mut attributes = Attributes::of_resources(user, &check.verb);
        match &check.target {
            Target::Path(path) => {
                attributes.resource_request = false;
                attributes.path = path.clone();
            }
            Target::Resource(resource) => fill(&mut attributes, resource)?,
        }
        Ok(attributes)
    }
}

fn fill(attributes: &mut Attributes, check: &ResourceCheck) -> Result<(), String> {
    // An expression names no version; upstream asks for any.
    attributes.version = "*".into();
    attributes.group = check.group.clone();
    attributes.resource = check.resource.clone();
    attributes.subresource = check.subresource.clone();
    attributes.namespace = check.namespace.clone();
    attributes.name = check.name.clone();
    if !check.field_selector.is_empty() {
        let selector = FieldSelector::from_str(&check.field_selector).map_err(|e| e.to_string())?;
        attributes.field_selector = Some(Arc::new(selector));
    }
    if !check.label_selector.is_empty() {
        let selector = LabelSelector::parse(&check.label_selector).map_err(|e| e.to_string())?;
        attributes.label_selector = Some(Arc::new(selector));
    }
    Ok(())
}

fn service_account(namespace: &str, name: &str) -> User {
    User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        groups: vec![
            "system:serviceaccounts".into(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".into(),
        ],
        ..User::default()
    }
}

impl Authorize for Asker {
    fn check(&self, check: &AuthorizerCheck) -> CheckResult {
        let known = self.answers.lock().get(check).cloned();
        // A look that does not wait; what it began is dropped if the answer is not there.
        match known.or_else(|| self.ask(check).now_or_never()) {
            None => CheckResult::Pending,
            Some(decision) => {
                self.answers.lock().insert(check.clone(), decision.clone());
                CheckResult::Decided(decision)
            }
        }
    }
}
