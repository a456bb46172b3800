//! `anyOf`, `oneOf`, `allOf` and `not`: how many of the schemas take a value decides, and of those that must be told why not,
//! the nearest is.

use serde_json::Value;

use super::Walk;
use super::node::Node;
use super::outcome::Outcome;
use crate::correlate::Correlated;

#[derive(Clone, Copy, PartialEq)]
enum Junctor {
    Any,
    One,
    All,
}

/// What asking the schemas of one junctor gave.
#[derive(Default)]
struct Tally {
    asked: usize,
    fitting: usize,
    /// What is told for the schemas: of all of them, the first that fits, or the nearest that does not.
    told: Outcome,
}

impl Junctor {
    fn member(self) -> &'static str {
        match self {
            Self::Any => "anyOf",
            Self::One => "oneOf",
            Self::All => "allOf",
        }
    }

    /// What the value is told as a whole; nothing where enough schemas take it.
    fn objection(self, tally: &Tally) -> Option<String> {
        match (self, tally.fitting) {
            (Self::Any, 0) => Some("must validate at least one schema (anyOf)".into()),
            (Self::Any, _) | (Self::One, 1) => None,
            (Self::One, 0) => Some("must validate one and only one schema (oneOf). Found none valid".into()),
            (Self::One, many) => Some(format!(
                "must validate one and only one schema (oneOf). Found {many} valid alternatives"
            )),
            (Self::All, fitting) if fitting == tally.asked => None,
            (Self::All, 0) => Some("must validate all the schemas (allOf). None validated".into()),
            (Self::All, _) => Some("must validate all the schemas (allOf)".into()),
        }
    }
}

impl Tally {
    fn add(&mut self, junctor: Junctor, result: Outcome) {
        self.asked += 1;
        let fits = result.is_valid();
        self.fitting += usize::from(fits);
        let is_nearest = self.asked == 1 || result.fits > self.told.fits;
        match (junctor, fits, self.fitting) {
            (Junctor::All, _, _) => self.told.merge(result),
            (_, true, 1) => self.told = result,
            (_, false, 0) if is_nearest => self.told = result,
            _ => {}
        }
    }
}

impl Walk<'_> {
    pub(super) fn junctors(
        &mut self,
        node: Node<'_>,
        value: &Value,
        correlated: Option<Correlated<'_>>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        for junctor in [Junctor::Any, Junctor::One, Junctor::All] {
            self.junctor(junctor, node, value, correlated, &mut outcome);
        }
        if let Some(schema) = node.not()
            && self.value(schema, value, correlated).is_valid()
        {
            self.object("must not validate the schema (not)", &mut outcome);
        }
        outcome.fits += 1;
        outcome
    }

    fn junctor(
        &mut self,
        junctor: Junctor,
        node: Node<'_>,
        value: &Value,
        correlated: Option<Correlated<'_>>,
        outcome: &mut Outcome,
    ) {
        let mut tally = Tally::default();
        for schema in node.alternatives(junctor.member()) {
            tally.add(junctor, self.value(schema, value, correlated));
            if junctor == Junctor::Any && tally.fitting > 0 {
                break;
            }
        }
        if tally.asked == 0 {
            return;
        }
        let objection = junctor.objection(&tally);
        if junctor == Junctor::All {
            outcome.merge(tally.told);
            objection.iter().for_each(|told| self.object(told, outcome));
        } else {
            objection.iter().for_each(|told| self.object(told, outcome));
            // Where too many fit, none of them is nearer than the others.
            if tally.fitting < 2 {
                outcome.merge(tally.told);
            }
        }
    }

    fn object(&self, told: &str, outcome: &mut Outcome) {
        outcome.add_general(format!("{:?} {told}", self.at));
    }
}
