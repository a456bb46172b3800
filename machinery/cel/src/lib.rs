//! CEL as Kubernetes speaks it: types, cost, and the Kubernetes libraries around the parser and evaluator of the `cel` crate.
