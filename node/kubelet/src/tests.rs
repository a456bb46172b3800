//! The kubelet whole, against a fake runtime and an API in memory.
