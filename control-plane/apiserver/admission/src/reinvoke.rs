//! Running the mutating half a second time when a webhook or a policy has changed the object: what came before it may
//! want to see the change. Once, whatever the second round changes. (`admission/reinvocation.go`)
//!
//! The rounds of one request live in its task while its mutating half runs: plugins are called by a chain that knows
//! nothing of them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use oarlock_api::Status;
use oarlock_apiserver_access::AdmissionRequest;
use oarlock_apiserver_access::admission::AdmissionChain;
use serde_json::Value;

tokio::task_local! {
    static ROUNDS: RefCell<Rounds>;
}

/// What plugins remember between the rounds of one request.
#[derive(Default)]
struct Rounds {
    second: bool,
    wanted: bool,
    webhooks: Memory,
    policies: Memory,
}

/// Whose memory is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plugin {
    Webhooks,
    Policies,
}

/// Who is called again, and who may be when somebody after them changes the object.
#[derive(Default)]
struct Memory {
    /// Of the object as this plugin left it.
    left: Option<u64>,
    invoked: HashSet<String>,
    again: HashSet<String>,
}

impl Memory {
    fn require_again(&mut self) {
        self.again.extend(self.invoked.drain());
    }
}

/// Runs the chain's mutating half, twice where it must be. Use this in the place of `chain.mutate(request)`.
pub async fn mutate(chain: &AdmissionChain, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
    ROUNDS
        .scope(RefCell::default(), async {
            chain.mutate(request).await?;
            let again = ROUNDS.with(|rounds| {
                let mut rounds = rounds.borrow_mut();
                rounds.second = rounds.wanted;
                rounds.wanted
            });
            if again { chain.mutate(request).await } else { Ok(()) }
        })
        .await
}

fn with<T>(work: impl FnOnce(&mut Rounds) -> T) -> Option<T> {
    ROUNDS.try_with(|rounds| work(&mut rounds.borrow_mut())).ok()
}

impl Plugin {
    fn memory(self, rounds: &mut Rounds) -> &mut Memory {
        match self {
            Self::Webhooks => &mut rounds.webhooks,
            Self::Policies => &mut rounds.policies,
        }
    }

    /// A round of this plugin begins; gives its number. Others may have changed the object since the last one.
    pub(crate) fn begin(self, object: Option<&Value>) -> usize {
        let round = with(|rounds| {
            let second = rounds.second;
            let memory = self.memory(rounds);
            if second && memory.left != object.map(fingerprint) {
                memory.require_again();
            }
            usize::from(second)
        });
        round.unwrap_or_default()
    }

    /// In the second round only some are called again; none for the first time.
    pub(crate) fn may_call(self, who: &str) -> bool {
        let may = with(|rounds| !rounds.second || self.memory(rounds).again.contains(who));
        may.unwrap_or(true)
    }

    /// The object was changed: those before who may be called again will be.
    pub(crate) fn changed(self) {
        with(|rounds| {
            rounds.wanted = true;
            self.memory(rounds).require_again();
        });
    }

    /// Somebody with the policy IfNeeded was called.
    pub(crate) fn called(self, who: &str) {
        with(|rounds| self.memory(rounds).invoked.insert(who.to_string()));
    }

    pub(crate) fn end(self, object: Option<&Value>) {
        with(|rounds| {
            let memory = self.memory(rounds);
            // Without anybody to call again there is nothing to compare for.
            if !memory.invoked.is_empty() {
                memory.left = object.map(fingerprint);
            }
        });
    }
}

fn fingerprint(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.hash(&mut hasher);
    hasher.finish()
}
