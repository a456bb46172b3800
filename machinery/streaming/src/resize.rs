//! The terminal's sizes: JSON objects on the resize stream, one after the other.

use serde_json::error::Category;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use crate::TerminalSize;

/// Sizes that wait to be applied; the last of them is the one that matters.
pub(crate) const SIZES: usize = 4;
/// More than any object; what does not fit is no size.
const OBJECT_BYTES_MAX: usize = 1024;

/// Passes sizes on until the stream or its reader ends. A slow reader misses sizes, never the latest.
pub(crate) async fn pump(mut stream: impl AsyncRead + Unpin, sizes: mpsc::Sender<TerminalSize>) {
    let mut unread = Vec::new();
    let mut latest = None;
    loop {
        tokio::select! {
            read = stream.read_buf(&mut unread) => match read {
                Ok(1..) => match take(&mut unread) {
                    Ok(size) => latest = size.or(latest),
                    Err(()) => break,
                },
                _ => break,
            },
            permit = sizes.reserve(), if latest.is_some() => match (permit, latest.take()) {
                (Ok(permit), Some(size)) => permit.send(size),
                _ => return,
            },
            () = sizes.closed() => return,
        }
    }
    if let Some(size) = latest {
        // The terminal may be gone.
        sizes.send(size).await.ok();
    }
}

/// Takes the whole objects off the front; gives the last of them.
fn take(unread: &mut Vec<u8>) -> Result<Option<TerminalSize>, ()> {
    let mut objects = serde_json::Deserializer::from_slice(unread).into_iter::<TerminalSize>();
    let (mut latest, mut used) = (None, 0);
    loop {
        match objects.next() {
            Some(Ok(size)) => (latest, used) = (Some(size), objects.byte_offset()),
            Some(Err(error)) if error.classify() != Category::Eof => return Err(()),
            _ => break,
        }
    }
    unread.drain(..used);
    if unread.len() > OBJECT_BYTES_MAX { Err(()) } else { Ok(latest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_objects_are_taken_and_the_rest_is_kept() {
        let mut unread = br#"{"Width":80,"Height":24}{"Width":81,"Height":25} {"Wid"#.to_vec();
        assert_eq!(take(&mut unread), Ok(Some(TerminalSize { width: 81, height: 25 })));
        assert_eq!(unread.trim_ascii(), br#"{"Wid"#);
        assert_eq!(take(&mut b"[1]".to_vec()), Err(()));
        assert_eq!(take(&mut vec![b' '; 5000]), Err(()));
    }
}
