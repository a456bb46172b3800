//! Questions about the rest of the world: the query goes to a name server as it is, and its answer comes back as it is.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// One try at one server.
const TRY: Duration = Duration::from_secs(2);
const UDP_BYTES_MAX: usize = 4096;

/// How the client asked, and so how its question travels on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// Asks each server in turn; `None` when none has answered.
pub(crate) async fn ask(query: &[u8], upstreams: &[SocketAddr], transport: Transport) -> Option<Vec<u8>> {
    for upstream in upstreams {
        let tried = match transport {
            Transport::Udp => tokio::time::timeout(TRY, over_udp(query, *upstream)).await,
            Transport::Tcp => tokio::time::timeout(TRY, over_tcp(query, *upstream)).await,
        };
        match tried {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(e)) => tracing::debug!(%upstream, error = %e, "name server failed"),
            Err(_) => tracing::debug!(%upstream, "name server did not answer in time"),
        }
    }
    None
}

async fn over_udp(query: &[u8], upstream: SocketAddr) -> io::Result<Vec<u8>> {
    let local: SocketAddr = if upstream.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    // A fresh port and a fresh id for each question: an answer forged blindly must guess both (RFC 5452).
    let socket = UdpSocket::bind(local).await?;
    socket.connect(upstream).await?;
    let id: [u8; 2] = rand::random();
    let mut sent = query.to_vec();
    sent[..2].copy_from_slice(&id);
    socket.send(&sent).await?;
    let mut buffer = vec![0; UDP_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length >= 12 && buffer[..2] == id {
            buffer.truncate(length);
            buffer[..2].copy_from_slice(&query[..2]);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(query: &[u8], upstream: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    let length = u16::try_from(query.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if answer.len() < 12 || answer[..2] != query[..2] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(answer)
}
