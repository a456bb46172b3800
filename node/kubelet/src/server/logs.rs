//! `/containerLogs/{namespace}/{pod}/{container}`.

use std::convert::Infallible;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use jiff::{SignedDuration, Timestamp};
use oarlock_cri::v1::{ContainerState, ContainerStatusRequest};
use tokio::sync::mpsc;
use tracing::debug;

use super::{Body, Server, flag, query, text};
use crate::logs::{LogOptions, send};
use crate::pod::PodExt as _;

/// Lines on their way to a reader; a slow one holds the log back.
const QUEUE_MAX: usize = 64;

impl Server {
    pub(super) async fn container_logs(
        &self,
        request: &Request<Incoming>,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> Response<Body> {
        let uri = request.uri();
        let options = match options(uri) {
            Ok(options) => options,
            Err(message) => return text(StatusCode::BAD_REQUEST, message),
        };
        let Some(pod) = self.manager.find(namespace, pod) else {
            return text(StatusCode::NOT_FOUND, format!("pod {pod:?} does not exist\n"));
        };
        if pod.find_container(container).is_none() {
            let message = format!("container {container:?} not found in pod {:?}\n", pod.name());
            return text(StatusCode::NOT_FOUND, message);
        }
        let found = self.log_of(&pod, container, flag(uri, "previous")).await;
        let (id, path) = match found {
            Ok(found) => found,
            Err(message) => return text(StatusCode::BAD_REQUEST, message),
        };
        self.send_log(id, path, options)
    }

    /// The container and the file whose log is meant.
    async fn log_of(
        &self,
        pod: &k8s_openapi::api::core::v1::Pod,
        container: &str,
        previous: bool,
    ) -> Result<(String, PathBuf), String> {
        let observed =
            self.manager.context().observer.observe(&pod.uid()).await.map_err(|error| error.to_string())?;
        let mut instances = observed
            .containers
            .iter()
            .filter(|seen| seen.name() == container && seen.state() != ContainerState::ContainerCreated);
        let name = pod.name();
        let seen = if previous {
            let mut ended = instances.clone().filter(|seen| seen.exited());
            let running = instances.next().is_some_and(|seen| seen.running());
            let found = if running {
                ended.next()
            } else {
                ended.nth(1).or_else(|| instances_first(&observed, container))
            };
            found.ok_or_else(|| {
                format!("previous terminated container {container:?} in pod {name:?} not found")
            })?
        } else {
            match instances.next() {
                Some(seen) => seen,
                None => return Err(self.why_waiting(pod, container)),
            }
        };
        Ok((seen.id().to_owned(), PathBuf::from(&seen.status.log_path)))
    }

    fn why_waiting(&self, pod: &k8s_openapi::api::core::v1::Pod, container: &str) -> String {
        let name = pod.name();
        let status = self.manager.context().status.latest(pod);
        let reason = status.and_then(|status| {
            let all = [
                &status.container_statuses,
                &status.init_container_statuses,
                &status.ephemeral_container_statuses,
            ];
            let mine = all.into_iter().flatten().flatten().find(|status| status.name == container).cloned();
            let waiting = mine?.state?.waiting?;
            Some((waiting.reason.unwrap_or_default(), waiting.message))
        });
        match reason.as_ref().map(|(reason, message)| (reason.as_str(), message)) {
            Some(("ErrImagePull", _)) => {
                format!("container {container:?} in pod {name:?} is waiting to start: image can't be pulled")
            }
            Some(("ImagePullBackOff", _)) => {
                format!(
                    "container {container:?} in pod {name:?} is waiting to start: trying and failing to pull image"
                )
            }
            Some((reason, _)) if !reason.is_empty() => {
                format!("container {container:?} in pod {name:?} is waiting to start: {reason}")
            }
            _ => format!("container {container:?} in pod {name:?} is not available"),
        }
    }

    fn send_log(&self, id: String, path: PathBuf, options: LogOptions) -> Response<Body> {
        let (sender, receiver) = mpsc::channel::<Bytes>(QUEUE_MAX);
        let cri = self.manager.context().cri.clone();
        let stop = self.spawner.shutdown().clone();
        self.spawner.spawn("log", async move {
            let still_running = || {
                let (cri, container_id) = (cri.clone(), id.clone());
                async move {
                    let request = ContainerStatusRequest { container_id, verbose: false };
                    let status =
                        cri.container_status(request).await.ok().and_then(|response| response.status);
                    status.is_some_and(|status| status.state() == ContainerState::ContainerRunning)
                }
            };
            match stop.or(send(&path, &options, still_running, sender)).await {
                Some(Err(error)) => debug!(path = %path.display(), %error, "log"),
                _ => debug!(path = %path.display(), "log sent"),
            }
        });
        let frames = futures::stream::unfold(receiver, |mut receiver| async move {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        let kind = http::HeaderValue::from_static("text/plain");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        response
    }
}

fn instances_first<'a>(
    observed: &'a crate::observed::Observed,
    container: &str,
) -> Option<&'a crate::observed::Seen> {
    // After a crash the last ended instance is the previous one, while the next waits to start.
    observed.containers.iter().find(|seen| seen.name() == container && seen.exited())
}

fn options(uri: &http::Uri) -> Result<LogOptions, String> {
    let number = |key: &str| -> Result<Option<i64>, String> {
        let Some(text) = query(uri, key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{key}: Invalid value: {text:?}: must be a number\n"))
    };
    let since_time = match query(uri, "sinceTime") {
        Some(text) => Some(text.parse().map_err(|_| format!("sinceTime: Invalid value: {text:?}\n"))?),
        None => None,
    };
    let since_seconds =
        number("sinceSeconds")?.map(|seconds| Timestamp::now() - SignedDuration::from_secs(seconds));
    let stream = query(uri, "stream").map(|stream| stream.to_lowercase()).filter(|stream| stream != "all");
    Ok(LogOptions {
        follow: flag(uri, "follow"),
        tail_lines: number("tailLines")?.and_then(|lines| usize::try_from(lines).ok()),
        since: since_seconds.or(since_time),
        timestamps: flag(uri, "timestamps"),
        limit_bytes: number("limitBytes")?.and_then(|bytes| usize::try_from(bytes).ok()),
        stream,
    })
}
