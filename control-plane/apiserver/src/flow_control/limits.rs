//! `--enable-priority-and-fairness=false`: so many reads and so many writes at a time, and no more.

use oarlock_api::Status;
use oarlock_apiserver_access::User;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::RequestLimits;
use crate::request_info::RequestInfo;

/// After so many seconds who was turned away may come again.
const RETRY_AFTER_SECONDS: u32 = 1;
/// Who may always do everything is not turned away either.
const MASTERS: &str = "system:masters";

pub(crate) struct MaxInFlight {
    reads: Option<Semaphore>,
    writes: Option<Semaphore>,
}

impl MaxInFlight {
    /// A limit of 0 is none; with fairness there is none at all.
    pub(crate) fn new(limits: &RequestLimits) -> Self {
        let most =
            |n: u32| (n > 0 && !limits.fair).then(|| Semaphore::new(n.try_into().unwrap_or(usize::MAX)));
        Self { reads: most(limits.reads), writes: most(limits.writes) }
    }

    /// A place until it is dropped; none is needed for what lasts, or where there is no limit.
    pub(super) fn enter(
        &self,
        info: &RequestInfo,
        user: &User,
    ) -> Result<Option<SemaphorePermit<'_>>, Status> {
        let reads = matches!(info.verb.as_str(), "get" | "list" | "watch");
        let limit = if reads { &self.reads } else { &self.writes };
        let Some(limit) = limit else { return Ok(None) };
        if info.is_long_running() {
            return Ok(None);
        }
        match limit.try_acquire() {
            Ok(place) => Ok(Some(place)),
            Err(_) if user.groups.iter().any(|group| group == MASTERS) => Ok(None),
            Err(_) => Err(Status::too_many_requests(super::TOO_MANY, RETRY_AFTER_SECONDS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::request_info::Query;

    fn limits(fair: bool, reads: u32, writes: u32) -> MaxInFlight {
        MaxInFlight::new(&RequestLimits { fair, reads, writes })
    }

    fn info(method: Method, path: &str) -> RequestInfo {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        RequestInfo::parse(&method, path, &Query::parse(query))
    }

    #[test]
    fn so_many_at_a_time() {
        let (one, jane) = (limits(false, 1, 1), User::default());
        let master = User { groups: vec![MASTERS.into()], ..User::default() };
        let read = info(Method::GET, "/api/v1/pods");
        let held = one.enter(&read, &jane).expect("the first");
        assert!(held.is_some());
        let refused = one.enter(&read, &jane).map(drop).expect_err("the second");
        assert_eq!((refused.code, &*refused.message), (429, "Too many requests, please try again later."));
        assert!(one.enter(&read, &master).is_ok(), "who may do everything");
        for (method, path) in [
            (Method::GET, "/api/v1/pods?watch=true"),
            (Method::GET, "/api/v1/namespaces/d/pods/p/log"),
            (Method::POST, "/api/v1/namespaces/d/pods"),
        ] {
            assert!(one.enter(&info(method.clone(), path), &jane).is_ok(), "{method} {path}");
        }
        drop(held);
        assert!(one.enter(&read, &jane).is_ok(), "the place is free again");
    }

    #[test]
    fn nothing_is_bounded_by_zero_or_with_fairness() {
        let (read, jane) = (info(Method::GET, "/version"), User::default());
        for none in [limits(false, 0, 1), limits(true, 1, 1)] {
            assert!(none.enter(&read, &jane).expect("let in").is_none());
        }
    }
}
