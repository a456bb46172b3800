//! Remembers how many keys come after a page: the next page of the same listing need not count them again.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::types::Revision;

/// Listings under way at once that are remembered; others are counted again.
const PAGES: usize = 64;

#[derive(Debug, PartialEq, Eq)]
struct Page {
    prefix: Bytes,
    /// The state at a revision never changes, so neither does what is left of it.
    at: Revision,
    last: Bytes,
    remaining: usize,
}

#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<VecDeque<Page>>);

impl Pages {
    /// Keys under `prefix` after `last`, if a page ended there. It is asked once.
    pub(super) fn take(&self, prefix: &[u8], at: Revision, last: &[u8]) -> Option<usize> {
        let mut pages = self.0.lock();
        let found = pages.iter().position(|p| p.at == at && p.last == last && p.prefix == prefix)?;
        pages.remove(found).map(|page| page.remaining)
    }

    pub(super) fn keep(&self, prefix: &[u8], at: Revision, last: Bytes, remaining: usize) {
        let page = Page { prefix: Bytes::copy_from_slice(prefix), at, last, remaining };
        let mut pages = self.0.lock();
        pages.truncate(PAGES - 1);
        pages.push_front(page);
    }
}
