//! Random commands on the core and on a model that keeps a whole map per revision: they must agree at every revision,
//! however the commands are grouped into batches, and whichever batches are dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Batch, Command, Index, Outcome, apply};
use crate::types::{Compare, LeaseId, Op, Revision, Txn};

#[derive(Debug, Clone)]
enum Step {
    Put { key: u8, guarded: bool, lease: bool },
    Delete { key: u8 },
    Both { put: u8, delete: u8 },
    Grant,
    Revoke,
    Compact { back: u64 },
    Commit,
    Fail,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..6_u8;
    prop_oneof![
        6 => (key.clone(), any::<bool>(), any::<bool>()).prop_map(|(key, guarded, lease)| Step::Put { key, guarded, lease }),
        3 => key.clone().prop_map(|key| Step::Delete { key }),
        2 => (key.clone(), key).prop_map(|(put, delete)| Step::Both { put, delete }),
        1 => Just(Step::Grant),
        1 => Just(Step::Revoke),
        1 => (0..5_u64).prop_map(|back| Step::Compact { back }),
        4 => Just(Step::Commit),
        1 => Just(Step::Fail),
    ]
}

/// Key → modification revision, creation revision and lease.
type State = BTreeMap<Bytes, (u64, u64, Option<LeaseId>)>;

#[derive(Debug, Clone, Default)]
struct Model {
    states: Vec<State>,
    lease: Option<LeaseId>,
    compacted: u64,
}

impl Model {
    fn now(&self) -> &State {
        self.states.last().expect("it starts with one")
    }

    fn put(&mut self, state: &mut State, key: Bytes, lease: Option<LeaseId>) {
        let revision = self.states.len() as u64;
        let created = state.get(&key).map_or(revision, |found| found.1);
        state.insert(key, (revision, created, lease));
    }

    fn advance(&mut self, state: State, changed: bool) {
        if changed {
            self.states.push(state);
        }
    }
}

fn name(key: u8) -> Bytes {
    Bytes::from(format!("/{key}"))
}

fn put(key: Bytes, lease: Option<LeaseId>) -> Op {
    Op::Put { key, value: Bytes::new(), lease }
}

/// The step as a command, and its effect on the model.
fn translate(model: &mut Model, step: &Step) -> Option<Command> {
    let mut state = model.now().clone();
    let (guards, ops) = match *step {
        Step::Put { key, guarded, lease } => {
            let lease = model.lease.filter(|_| lease);
            let known = state.get(&name(key)).map_or(0, |found| found.0);
            model.put(&mut state, name(key), lease);
            model.advance(state, true);
            let guard = Compare { key: name(key), mod_revision: Revision(known) };
            (if guarded { vec![guard] } else { Vec::new() }, vec![put(name(key), lease)])
        }
        Step::Delete { key } => {
            let changed = state.remove(&name(key)).is_some();
            model.advance(state, changed);
            (Vec::new(), vec![Op::Delete { key: name(key) }])
        }
        Step::Both { put: one, delete } => {
            let gone = state.contains_key(&name(delete));
            if one != delete {
                model.put(&mut state, name(one), None);
            }
            state.remove(&name(delete));
            model.advance(state, one != delete || gone);
            (Vec::new(), vec![put(name(one), None), Op::Delete { key: name(delete) }])
        }
        Step::Grant if model.lease.is_none() => return Some(Command::Grant(Duration::from_secs(1))),
        Step::Revoke => {
            let lease = model.lease.take()?;
            let before = state.len();
            state.retain(|_, found| found.2 != Some(lease));
            let changed = state.len() != before;
            model.advance(state, changed);
            return Some(Command::Revoke(lease));
        }
        Step::Compact { back } => {
            let through = (model.states.len() as u64 - 1).saturating_sub(back).max(model.compacted);
            model.compacted = through;
            return Some(Command::Compact(Revision(through)));
        }
        Step::Grant | Step::Commit | Step::Fail => return None,
    };
    Some(Command::Transact(Txn { guards, ops }))
}

fn compare(index: &Index, model: &Model) {
    assert_eq!(index.revision.0, model.states.len() as u64 - 1);
    for (at, state) in model.states.iter().enumerate().skip(model.compacted as usize) {
        let at = Revision(at as u64);
        let (found, remaining) = index.list(b"/", None, usize::MAX, at, None);
        let versions = found.iter().map(|(key, _)| (key.clone(), index.at(key, at).expect("listed")));
        let found: State = versions.map(|(key, v)| (key, (v.revision.0, v.create.0, v.lease))).collect();
        assert_eq!((&found, remaining), (state, 0), "at {at}");
        let (page, remaining) = index.list(b"/", None, 2, at, None);
        assert_eq!(index.list(b"/", None, 2, at, Some(state.len())), (page, remaining), "at {at}");
    }
}

proptest! {
    #[test]
    fn the_core_agrees_with_a_model(steps in proptest::collection::vec(step(), 1..120)) {
        let mut index = Index::default();
        let mut model = Model { states: vec![State::new()], ..Model::default() };
        let (mut batch, mut durable) = (Batch::new(&index), model.clone());
        for step in steps {
            if let Some(command) = translate(&mut model, &step) {
                match apply(&index, &mut batch, command).expect("the model asks for nothing impossible") {
                    Outcome::Granted(lease, _) => model.lease = Some(lease),
                    Outcome::Failed(_, current) => panic!("no guard is wrong: {current:?}"),
                    Outcome::Done(revision) => assert_eq!(revision.0, model.states.len() as u64 - 1),
                    Outcome::Revoked(_) | Outcome::Compacted => {}
                }
            }
            match step {
                Step::Commit => {
                    index.install(&batch);
                    durable = model.clone();
                }
                Step::Fail => model = durable.clone(),
                _ => continue,
            }
            batch = Batch::new(&index);
            compare(&index, &durable);
        }
    }
}
