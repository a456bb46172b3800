//! CRI v1: the messages, a client, the server halves of both services, a fake runtime, and the contract that every
//! runtime must pass.
//!
//! The messages are generated (`cargo xtask codegen`) and follow prost's habits of naming. A runtime implements
//! [`v1::RuntimeService`] and [`v1::ImageService`] and hands them to [`serve`]; the kubelet holds a [`Client`].

mod client;
mod redact;
mod serve;
pub mod v1;
mod wire;

pub use client::{CallError, Client, socket_path};
pub use serve::{ServeError, listen, serve};
pub use tonic::{Code, Status};
pub use wire::ResponseStream;
