//! A runtime in memory, for tests of whoever speaks CRI: it passes the same contract as the real one, and the test says
//! what happens in it (exits, failures, exec results).
//!
//! Its programs are these commands: `exit CODE [TEXT]` prints the text and ends at once; `wait` or anything else runs
//! until it is stopped. In an exec, `exit CODE [TEXT]` does the same, `hang` never returns, and all else prints its
//! arguments and succeeds.

mod images;
mod runtime;
mod state;

use std::path::Path;
use std::sync::Arc;

use oarlock_base::Shutdown;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tonic::Status;

use crate::v1;
use crate::{ServeError, listen, serve};

use state::State;

/// More than any test leaves unread; a slower reader is told that it lagged, as with a real runtime that drops events.
const EVENTS_MAX: usize = 1024;

/// The runtime; share it by `Arc`.
pub struct FakeRuntime {
    state: Mutex<State>,
    events: broadcast::Sender<v1::ContainerEventResponse>,
}

impl FakeRuntime {
    /// A runtime without images, its network ready.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::default()), events: broadcast::Sender::new(EVENTS_MAX) })
    }

    /// Serves it on a socket until the shutdown.
    pub async fn serve(self: Arc<Self>, socket: &Path, shutdown: Shutdown) -> Result<(), ServeError> {
        serve(listen(socket)?, self.clone(), self, shutdown).await
    }

    /// Makes an image present.
    pub fn add_image(&self, name: &str) {
        self.state.lock().add_image(name);
    }

    /// Makes an image one that a pull finds.
    pub fn add_pullable(&self, name: &str) {
        self.state.lock().pullable.insert(name.to_owned());
    }

    /// The next call of this method (`RunPodSandbox`) fails so; several queue up.
    pub fn fail_next(&self, method: &'static str, status: Status) {
        self.state.lock().failures.entry(method).or_default().push_back(status);
    }

    /// Whether the runtime reports its network as ready.
    pub fn set_network_ready(&self, ready: bool) {
        self.state.lock().network_down = !ready;
    }

    /// What `exec_sync` of this command line answers from now on: exit code and output.
    pub fn set_exec(&self, command: &[&str], exit_code: i32, stdout: &str) {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        self.state.lock().execs.insert(command, (exit_code, stdout.to_owned()));
    }

    /// Ends a running container as if its process had exited.
    pub fn exit(&self, container_id: &str, exit_code: i32) {
        let event = self.state.lock().exit(container_id, exit_code);
        self.publish(event);
    }

    /// Ends a sandbox and all in it, as a reboot would.
    pub fn lose_sandbox(&self, sandbox_id: &str) {
        let events = self.state.lock().stop_sandbox(sandbox_id);
        events.into_iter().for_each(|event| self.publish(Some(event)));
    }

    /// The newest container of this name, in whatever state.
    pub fn container(&self, name: &str) -> Option<v1::ContainerStatus> {
        let state = self.state.lock();
        let named = |c: &&state::Container| c.metadata().name == name;
        state.containers.values().filter(named).max_by_key(|c| c.order).map(|c| c.status())
    }

    /// The configuration that the newest container of this name was made from.
    pub fn container_config(&self, name: &str) -> Option<v1::ContainerConfig> {
        let state = self.state.lock();
        let named = |c: &&state::Container| c.metadata().name == name;
        state.containers.values().filter(named).max_by_key(|c| c.order).map(|c| c.config.clone())
    }

    /// The configurations of the sandboxes that exist, oldest first.
    pub fn sandbox_configs(&self) -> Vec<v1::PodSandboxConfig> {
        self.state.lock().sandboxes.values().map(|sandbox| sandbox.config.clone()).collect()
    }

    /// Ids of the sandboxes that exist, oldest first.
    pub fn sandbox_ids(&self) -> Vec<String> {
        self.state.lock().sandboxes.keys().cloned().collect()
    }

    /// Names of the methods called so far, in order, those that change something only.
    pub fn calls(&self) -> Vec<String> {
        self.state.lock().calls.clone()
    }

    fn publish(&self, event: Option<v1::ContainerEventResponse>) {
        if let Some(event) = event {
            let _ = self.events.send(event); // nobody listening is fine
        }
    }
}
