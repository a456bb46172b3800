//! Frames on a blocking or non-blocking Unix socket, with descriptors beside them. Used by both ends.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

/// The most descriptors beside one frame: stdin, stdout, stderr.
const DESCRIPTORS_MAX: usize = 3;

/// A frame as bytes.
pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let body = serde_json::to_vec(value).expect("frames are plain data");
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&u32::try_from(body.len()).expect("frames are short").to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// Sends once; gives how many bytes went. The descriptors go with the first byte.
pub(crate) fn send(socket: &impl AsRawFd, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    let parts = [IoSlice::new(bytes)];
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    let sent = sendmsg::<UnixAddr>(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(sent)
}

/// Receives once into `buffer`; zero bytes is the end.
pub(crate) fn receive(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = part {
            descriptors.extend(received.into_iter().map(own));
        }
    }
    Ok(message.bytes)
}

/// Takes ownership of a descriptor that nobody else in this process owns.
#[expect(unsafe_code, reason = "descriptors arrive from the kernel as numbers")]
pub(crate) fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: callers pass a descriptor that the kernel has just made for this process.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Takes one whole frame from the front of `buffer`, when it is there.
pub(crate) fn take_frame(buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > super::protocol::FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    let frame = buffer[4..4 + length].to_vec();
    buffer.drain(..4 + length);
    Ok(Some(frame))
}
