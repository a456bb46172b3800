//! The messages and services of CRI v1.
//!
//! Written by `cargo xtask codegen` from the facts of CRI v1. Do not edit.

mod container;
mod enums;
mod image;
mod image_service;
mod runtime;
mod runtime_service;
mod sandbox;
mod security;
mod stats;
mod windows;

pub use container::*;
pub use enums::*;
pub use image::*;
pub use image_service::*;
pub use runtime::*;
pub use runtime_service::*;
pub use sandbox::*;
pub use security::*;
pub use stats::*;
pub use windows::*;
