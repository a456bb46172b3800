//! Loops: what macros are.

use super::plan::{FoldOp, Op};
use super::run::{Eval, Run};
use crate::error::EvalError;
use crate::value::Value;

impl<'a> Run<'_, 'a> {
    pub(super) fn fold(&mut self, fold: &'a FoldOp) -> Eval<'a> {
        let range = self.eval(fold.range)?;
        let init = self.eval(fold.init);
        stop_if_fatal(&init)?;
        self.locals[fold.accu] = init;
        match &range {
            Value::List(list) => {
                for (index, item) in list.iter().enumerate() {
                    let item = item?;
                    let going = match fold.var2 {
                        Some(var2) => self.turn(fold, Value::Int(index as i64), Some((var2, item)))?,
                        None => self.turn(fold, item, None)?,
                    };
                    if !going {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for key in map.keys(self.meter)? {
                    let second = match fold.var2 {
                        Some(var2) => Some((var2, map.require(&key)?)),
                        None => None,
                    };
                    if !self.turn(fold, key, second)? {
                        break;
                    }
                }
            }
            _ => return Err(EvalError::NoSuchOverload),
        }
        self.eval(fold.result)
    }

    /// One turn of the loop; false ends it.
    fn turn(
        &mut self,
        fold: &'a FoldOp,
        first: Value<'a>,
        second: Option<(usize, Value<'a>)>,
    ) -> Result<bool, EvalError> {
        self.meter.step(1)?;
        self.locals[fold.var] = Ok(first);
        if let Some((var2, value)) = second {
            self.locals[var2] = Ok(value);
        }
        let plan = self.plan;
        let always = matches!(&plan.ops[fold.condition as usize], Op::Constant(Value::Bool(true)));
        if !always {
            let condition = self.eval(fold.condition);
            stop_if_fatal(&condition)?;
            if matches!(condition, Ok(Value::Bool(false))) {
                return Ok(false);
            }
        }
        let step = self.eval(fold.step);
        stop_if_fatal(&step)?;
        // What accumulates without a condition stays an error once it is one.
        let failed = step.is_err();
        self.locals[fold.accu] = step;
        Ok(!(failed && always))
    }
}

fn stop_if_fatal(value: &Eval<'_>) -> Result<(), EvalError> {
    match value {
        Err(error) if error.is_fatal() => Err(error.clone()),
        _ => Ok(()),
    }
}
