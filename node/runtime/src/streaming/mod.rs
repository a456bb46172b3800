//! Streams to clients: URLs with a token that is good for one connection, as containerd gives them.

mod command;
mod forward;
mod server;
mod terminal;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oarlock_cri::Status;
use oarlock_cri::v1::{AttachRequest, ExecRequest, PortForwardRequest};
use parking_lot::Mutex;

pub(crate) use server::serve;

/// A client that has not come by then does not come.
const LIFETIME: Duration = Duration::from_secs(60);
/// More streams than this are not waiting at once on any node.
const WAITING_MAX: usize = 1000;

/// What a token stands for.
#[derive(Debug, Clone)]
pub(crate) enum Ticket {
    Exec(ExecRequest),
    Attach(AttachRequest),
    PortForward(PortForwardRequest),
}

/// The tickets that wait for their client.
#[derive(Clone)]
pub(crate) struct Tokens {
    base: String,
    waiting: Arc<Mutex<HashMap<String, (Instant, Ticket)>>>,
}

impl Tokens {
    /// `base` is where the streaming server listens, `http://127.0.0.1:4321`.
    pub(crate) fn new(base: String) -> Self {
        Self { base, waiting: Arc::default() }
    }

    /// The URL for an exec.
    pub(crate) fn exec(&self, request: ExecRequest) -> Result<String, Status> {
        let streams = [request.stdin, request.stdout, request.stderr];
        check_streams(streams, request.tty)?;
        self.issue("exec", Ticket::Exec(request))
    }

    /// The URL for an attach.
    pub(crate) fn attach(&self, request: AttachRequest) -> Result<String, Status> {
        let streams = [request.stdin, request.stdout, request.stderr];
        check_streams(streams, request.tty)?;
        self.issue("attach", Ticket::Attach(request))
    }

    /// The URL for port-forwarding.
    pub(crate) fn port_forward(&self, request: PortForwardRequest) -> Result<String, Status> {
        self.issue("portforward", Ticket::PortForward(request))
    }

    fn issue(&self, kind: &str, ticket: Ticket) -> Result<String, Status> {
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        waiting.retain(|_, (issued, _)| now.duration_since(*issued) < LIFETIME);
        if waiting.len() >= WAITING_MAX {
            return Err(Status::resource_exhausted("maximum number of in-flight requests exceeded"));
        }
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>());
        waiting.insert(token.clone(), (now, ticket));
        Ok(format!("{}/{kind}/{token}", self.base))
    }

    /// Takes what the token stands for: the second client with it finds nothing.
    pub(crate) fn redeem(&self, token: &str) -> Option<Ticket> {
        let (issued, ticket) = self.waiting.lock().remove(token)?;
        (issued.elapsed() < LIFETIME).then_some(ticket)
    }
}

fn check_streams([stdin, stdout, stderr]: [bool; 3], tty: bool) -> Result<(), Status> {
    if tty && stderr {
        return Err(Status::invalid_argument("tty and stderr cannot both be true"));
    }
    if !(stdin || stdout || stderr) {
        return Err(Status::invalid_argument("one of stdin, stdout, or stderr must be set"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once() {
        let tokens = Tokens::new("http://127.0.0.1:1".into());
        let request = PortForwardRequest { pod_sandbox_id: "p".into(), port: vec![80] };
        let url = tokens.port_forward(request).expect("issued");
        let token = url.strip_prefix("http://127.0.0.1:1/portforward/").expect("the URL");
        assert!(matches!(tokens.redeem(token), Some(Ticket::PortForward(_))));
        assert!(tokens.redeem(token).is_none());
    }

    #[test]
    fn streams_are_checked() {
        let tokens = Tokens::new(String::new());
        for (tty, stdout, stderr, ok) in
            [(true, true, true, false), (false, false, false, false), (false, true, true, true)]
        {
            let request = ExecRequest { tty, stdout, stderr, ..ExecRequest::default() };
            assert_eq!(tokens.exec(request).is_ok(), ok, "{tty} {stdout} {stderr}");
        }
    }
}
