//! kube-controller-manager: the control loops that make the cluster be what its objects say.
//!
//! One module per controller, under upstream's name. Each has a pure part (`plan`, time as an argument) and beside it
//! the IO: it hears of changes from the shared informers in [`common::Context`], queues keys, and writes through a
//! client of its own identity. Controllers do not know each other; they meet in the objects. No loop does work when
//! nothing changed.

mod clusterroleaggregation;
mod common;
mod config;
mod deployment;
mod disruption;
mod endpoint;
mod endpointslice;
mod garbagecollector;
mod list;
mod namespace;
mod nodeipam;
mod nodelifecycle;
mod podgc;
mod pvcprotection;
mod pvprotection;
mod replicaset;
mod replicationcontroller;
mod resourcequota;
mod rootcacertpublisher;
mod run;
mod serviceaccount;
mod tainteviction;
#[cfg(test)]
mod testing;
mod vacprotection;

pub use config::{ClientFactory, Config, NodeLifecycleConfig};
pub use list::{Selection, UnknownController};
pub use run::{Error, run};
