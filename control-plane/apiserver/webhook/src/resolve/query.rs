//! One question to one name server: over UDP, and over TCP when the answer does not fit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

const UDP_BYTES_MAX: usize = 4096;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Possibly none of this type.
    Addresses(Vec<IpAddr>),
    NoSuchName,
    /// The server cannot say.
    Failed,
}

pub(super) async fn ask(server: SocketAddr, name: &Name, kind: RecordType) -> io::Result<Answer> {
    // A fresh port and a fresh id for each question: an answer forged blindly must guess both (RFC 5452).
    let mut question = Message::query();
    question.metadata.id = rand::random();
    question.metadata.recursion_desired = true;
    let id = question.metadata.id;
    question.add_query(Query::query(name.clone(), kind));
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let answer = over_udp(server, &bytes, id).await?;
    if answer.metadata.truncation {
        return Ok(read(&over_tcp(server, &bytes, id).await?));
    }
    Ok(read(&answer))
}

fn read(message: &Message) -> Answer {
    match message.metadata.response_code {
        ResponseCode::NoError => Answer::Addresses(
            message
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(a) => Some(IpAddr::V4(a.0)),
                    RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                    _ => None,
                })
                .collect(),
        ),
        ResponseCode::NXDomain => Answer::NoSuchName,
        _ => Answer::Failed,
    }
}

async fn over_udp(server: SocketAddr, question: &[u8], id: u16) -> io::Result<Message> {
    let local: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; UDP_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match Message::from_vec(&buffer[..length]) {
            Ok(message) if message.metadata.id == id => return Ok(message),
            // Not the answer to this question.
            _ => {}
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8], id: u16) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(question);
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    match Message::from_vec(&answer) {
        Ok(message) if message.metadata.id == id => Ok(message),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::A;

    /// A server that answers one question over UDP, truncated if so wished, then one over TCP.
    async fn serve(truncated: bool) -> (SocketAddr, impl Future<Output = ()>) {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = udp.local_addr().expect("bound");
        let tcp = tokio::net::TcpListener::bind(address).await.expect("the same port over TCP");
        let answer = |question: &[u8], truncated: bool| {
            let question = Message::from_vec(question).expect("a question");
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            answer.metadata.truncation = truncated;
            if !truncated {
                let name = question.queries[0].name().clone();
                answer.add_answer(Record::from_rdata(name, 1, RData::A(A(Ipv4Addr::new(10, 1, 2, 3)))));
            }
            answer.to_vec().expect("encodes")
        };
        let work = async move {
            let mut buffer = [0; 512];
            let (length, from) = udp.recv_from(&mut buffer).await.expect("a question");
            udp.send_to(&answer(&buffer[..length], truncated), from).await.expect("sent");
            if truncated {
                let (mut stream, _) = tcp.accept().await.expect("a connection");
                let mut question = vec![0; usize::from(stream.read_u16().await.expect("a length"))];
                stream.read_exact(&mut question).await.expect("a question");
                let bytes = answer(&question, false);
                stream.write_u16(bytes.len() as u16).await.expect("written");
                stream.write_all(&bytes).await.expect("written");
            }
        };
        (address, work)
    }

    #[tokio::test]
    async fn answers_come_over_udp_and_long_ones_over_tcp() {
        for truncated in [false, true] {
            let (address, server) = serve(truncated).await;
            let name = Name::from_ascii("hook.test.").expect("a name");
            let (answer, ()) = tokio::join!(ask(address, &name, RecordType::A), server);
            let want = Answer::Addresses(vec![IpAddr::from([10, 1, 2, 3])]);
            assert_eq!(answer.expect("answered"), want, "truncated: {truncated}");
        }
    }
}
