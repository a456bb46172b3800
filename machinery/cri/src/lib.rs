//! CRI v1: the messages, a client, the server halves of both services, a fake runtime, and the contract that every
//! runtime must pass.
//!
//! The messages are generated (`cargo xtask codegen`) and follow prost's habits of naming. A runtime implements
//! [`v1::RuntimeService`] and [`v1::ImageService`] and hands them to [`serve`]; the kubelet holds a [`Client`].

mod client;
pub mod contract;
pub mod fake;
mod redact;
mod serve;
pub mod v1;
mod wire;

pub use client::{CallError, Client, socket_path};
pub use serve::{ServeError, listen, serve};
pub use tonic::{Code, Status};
pub use wire::ResponseStream;

#[cfg(test)]
mod tests {
    use super::*;
    use oarlock_base::{Shutdown, Tasks};

    #[tokio::test]
    async fn the_fake_keeps_the_contract() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("cri.sock");
        let fake = fake::FakeRuntime::new();
        fake.add_image("busybox:1");
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new("test", &shutdown);
        let listener = listen(&socket).expect("the socket is free");
        tasks.spawn("fake", |stop| serve(listener, fake.clone(), fake.clone(), stop));
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let params = contract::Params {
            image: "busybox:1".into(),
            wait: words(&["wait"]),
            hello_then_3: words(&["exit", "3", "hello"]),
            exec_hello: words(&["echo", "hello"]),
            exec_7: words(&["exit", "7"]),
            exec_hang: words(&["hang"]),
            log_root: dir.path().join("logs"),
            cgroup_parent: String::new(),
            host_network: false,
        };
        contract::run(&Client::connect(socket.display().to_string()), &params).await;
        shutdown.trigger();
        tasks.join().await.expect("the fake stops");
    }
}
