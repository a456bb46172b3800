//! Queries in, answers out: UDP and TCP (RFC 1035, RFC 7766).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Record};
use oarlock_base::{Shutdown, TaskSpawner};
use oarlock_telemetry::Metrics;
use prometheus::{IntCounterVec, Opts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::answer::{Answer, Zone};
use crate::forward::{self, Transport};
use crate::view::ClusterView;
use crate::{Config, DnsError};

/// What a client that says nothing of its buffer takes (RFC 1035).
const UDP_BYTES: u16 = 512;
/// What we offer and use at most over UDP: no fragments (DNS Flag Day 2020).
const UDP_BYTES_MAX: u16 = 1232;
/// Questions under way; more are dropped, and the clients ask again.
const QUERIES_MAX: usize = 1000;
const CONNECTIONS_MAX: usize = 100;
const IDLE: Duration = Duration::from_secs(10);
/// An alias of an alias of …
const ALIASES_MAX: usize = 8;

/// Everything that an answer is made of.
pub(crate) struct Resolver {
    zone: Zone,
    view: ClusterView,
    upstreams: Vec<SocketAddr>,
    answers: IntCounterVec,
}

impl Resolver {
    pub(crate) fn new(config: &Config, view: ClusterView) -> Result<Arc<Self>, DnsError> {
        let zone = Zone::new(&config.cluster_domain)
            .ok_or_else(|| DnsError::Domain(config.cluster_domain.clone()))?;
        let answers = IntCounterVec::new(
            Opts::new("coredns_dns_responses_total", "Answers by their code."),
            &["rcode"],
        )
        .expect("a valid metric");
        let answers = Metrics::global().register(answers);
        Ok(Arc::new(Self { zone, view, upstreams: config.upstreams.clone(), answers }))
    }

    /// The answer to the bytes of a query; `None` for what is not one.
    async fn resolve(&self, bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let query = match Message::from_vec(bytes) {
            Ok(query) if query.metadata.message_type == MessageType::Query => query,
            Ok(_) => return None,
            Err(_) => return malformed(bytes),
        };
        let question = match query.queries.as_slice() {
            [one] if query.metadata.op_code == OpCode::Query => one.clone(),
            _ => return self.finish(&query, failure(&query, ResponseCode::NotImp), transport),
        };
        self.view.synced().await;
        let reply = match self.lookup(&question) {
            Answer::Elsewhere => return self.elsewhere(bytes, &query, transport).await,
            Answer::Alias { record, target } => self.follow(&query, *record, target, transport).await,
            Answer::Records { answers, additionals } => {
                let mut reply = reply(&query);
                reply.add_answers(answers);
                reply.add_additionals(additionals);
                reply
            }
            Answer::NoData => self.negative(&query, ResponseCode::NoError),
            Answer::NoSuchName => self.negative(&query, ResponseCode::NXDomain),
        };
        self.finish(&query, reply, transport)
    }

    fn lookup(&self, question: &Query) -> Answer {
        if question.query_class() != DNSClass::IN {
            return Answer::Elsewhere;
        }
        self.zone.answer(question.name(), question.query_type(), &self.view)
    }

    async fn elsewhere(&self, bytes: &[u8], query: &Message, transport: Transport) -> Option<Vec<u8>> {
        if self.upstreams.is_empty() {
            return self.finish(query, failure(query, ResponseCode::Refused), transport);
        }
        match forward::ask(bytes, &self.upstreams, transport).await {
            Some(answer) => {
                self.answers.with_label_values(&["forwarded"]).inc();
                Some(answer)
            }
            None => self.finish(query, failure(query, ResponseCode::ServFail), transport),
        }
    }

    /// An alias, and what it leads to as far as that can be found.
    async fn follow(
        &self,
        query: &Message,
        record: Record,
        mut target: hickory_proto::rr::Name,
        transport: Transport,
    ) -> Message {
        let kind = query.queries[0].query_type();
        let mut out = reply(query);
        out.add_answer(record);
        for _ in 0..ALIASES_MAX {
            match self.zone.answer(&target, kind, &self.view) {
                Answer::Records { answers, .. } => {
                    out.add_answers(answers);
                    break;
                }
                Answer::Alias { record, target: next } => {
                    out.add_answer(*record);
                    target = next;
                }
                Answer::Elsewhere => {
                    out.add_answers(self.asked(query, target, transport).await);
                    break;
                }
                Answer::NoData | Answer::NoSuchName => break,
            }
        }
        out
    }

    async fn asked(
        &self,
        query: &Message,
        target: hickory_proto::rr::Name,
        transport: Transport,
    ) -> Vec<Record> {
        let mut question = Message::new(query.metadata.id, MessageType::Query, OpCode::Query);
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(target, query.queries[0].query_type()));
        let Ok(bytes) = question.to_vec() else { return vec![] };
        let answer = forward::ask(&bytes, &self.upstreams, transport).await;
        answer
            .and_then(|bytes| Message::from_vec(&bytes).ok())
            .map(|message| message.answers)
            .unwrap_or_default()
    }

    fn negative(&self, query: &Message, code: ResponseCode) -> Message {
        let mut out = reply(query);
        out.metadata.response_code = code;
        out.add_authority(self.zone.authority());
        out
    }

    /// Cut to what the client takes: it asks again over TCP when something is missing.
    fn finish(&self, query: &Message, mut reply: Message, transport: Transport) -> Option<Vec<u8>> {
        self.answers
            .with_label_values(&[&format!("{:?}", reply.metadata.response_code).to_uppercase()])
            .inc();
        let mut limit = usize::from(u16::MAX);
        if let Some(edns) = &query.edns {
            let mut own = Edns::new();
            own.set_max_payload(UDP_BYTES_MAX);
            reply.set_edns(own);
            if transport == Transport::Udp {
                limit = usize::from(edns.max_payload().clamp(UDP_BYTES, UDP_BYTES_MAX));
            }
        } else if transport == Transport::Udp {
            limit = usize::from(UDP_BYTES);
        }
        let bytes = reply.to_vec().ok()?;
        if bytes.len() <= limit {
            return Some(bytes);
        }
        reply.insert_additionals(vec![]);
        let bytes = reply.to_vec().ok()?;
        if bytes.len() <= limit { Some(bytes) } else { reply.truncate().to_vec().ok() }
    }
}

fn reply(query: &Message) -> Message {
    let mut out = Message::response(query.metadata.id, query.metadata.op_code);
    out.metadata.authoritative = true;
    out.metadata.recursion_desired = query.metadata.recursion_desired;
    out.metadata.recursion_available = true;
    out.add_queries(query.queries.clone());
    out
}

fn failure(query: &Message, code: ResponseCode) -> Message {
    let mut out = reply(query);
    out.metadata.authoritative = false;
    out.metadata.response_code = code;
    out
}

/// A query that cannot be read still gets its id back.
fn malformed(bytes: &[u8]) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    // Never an answer to an answer.
    if bytes.get(2)? & 0x80 != 0 {
        return None;
    }
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}

pub(crate) async fn run(
    address: SocketAddr,
    resolver: Arc<Resolver>,
    spawner: TaskSpawner,
    stop: Shutdown,
) -> Result<(), DnsError> {
    let failed = |source| DnsError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    // Port 0 of a test: the same port for both.
    let bound = listener.local_addr().map_err(failed)?;
    let socket = Arc::new(UdpSocket::bind(bound).await.map_err(failed)?);
    tracing::info!(address = %bound, "answering");
    let datagrams = datagrams(socket, resolver.clone(), spawner.clone());
    let connections = connections(listener, resolver, spawner);
    stop.or(async {
        tokio::select! {
            ended = datagrams => ended,
            ended = connections => ended,
        }
    })
    .await
    .unwrap_or(Ok(()))
    .map_err(failed)
}

async fn datagrams(socket: Arc<UdpSocket>, resolver: Arc<Resolver>, spawner: TaskSpawner) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(QUERIES_MAX));
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An ICMP error about an earlier answer; the socket is well.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(e) => return Err(e),
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
        let (query, socket, resolver, stop) =
            (buffer[..length].to_vec(), socket.clone(), resolver.clone(), spawner.shutdown().clone());
        spawner.spawn("query", async move {
            if let Some(Some(answer)) = stop.or(resolver.resolve(&query, Transport::Udp)).await {
                // A client that is gone asks no more.
                let _ = socket.send_to(&answer, client).await;
            }
            drop(permit);
        });
    }
}

async fn connections(listener: TcpListener, resolver: Arc<Resolver>, spawner: TaskSpawner) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        let (resolver, stop) = (resolver.clone(), spawner.shutdown().clone());
        spawner.spawn("connection", async move {
            if let Some(Err(e)) = stop.or(connection(stream, &resolver)).await {
                tracing::debug!(error = %e, "connection ended");
            }
            drop(permit);
        });
    }
}

/// Queries one after the other, until the client is done or silent.
async fn connection(mut stream: TcpStream, resolver: &Resolver) -> io::Result<()> {
    loop {
        let length = match tokio::time::timeout(IDLE, stream.read_u16()).await {
            Ok(Ok(length)) => usize::from(length),
            Ok(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(e)) => return Err(e),
            Err(_) => return Ok(()),
        };
        let mut query = vec![0; length];
        tokio::time::timeout(IDLE, stream.read_exact(&mut query)).await??;
        let Some(answer) = resolver.resolve(&query, Transport::Tcp).await else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        tokio::time::timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
