//! Starts the runtime and serves it.

use futures::future::BoxFuture;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oarlock_base::{Shutdown, TaskError, TaskSpawner, Tasks};
use oarlock_cri::v1::{ImageServiceServer, RuntimeServiceServer};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tonic::body::Body;
use tracing::{debug, info};

use crate::images::{ImageError, ImageStore, Registries};
use crate::import::ImportService;
use crate::runtime::{Runtime, Service};
use crate::streaming::Tokens;

/// How one runtime is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// State that outlives a boot: images, records, writable layers.
    pub root_dir: PathBuf,
    /// State of this boot, best on tmpfs: shims' sockets, pinned network namespaces. At most 60 characters.
    pub run_dir: PathBuf,
    /// Where CRI is served.
    pub socket: PathBuf,
    /// The executable that knows the subcommand `shim`.
    pub shim_exe: PathBuf,
    pub cni_conf_dir: PathBuf,
    pub cni_bin_dirs: Vec<PathBuf>,
    /// The version under which the running executable is the image `oarlock.local/oarlock`; none, no such image.
    pub self_image: Option<String>,
    /// The prefix of this node's control groups, for shims and for pods without a parent of their own.
    pub cgroup_root: String,
    pub registries: Registries,
    /// Where exec, attach and port-forward are streamed.
    pub streaming_address: SocketAddr,
}

impl Config {
    /// The usual setup below two directories.
    pub fn new(root_dir: &Path, run_dir: &Path) -> Self {
        Self {
            root_dir: root_dir.to_owned(),
            run_dir: run_dir.to_owned(),
            socket: run_dir.join("cri.sock"),
            shim_exe: PathBuf::from("/proc/self/exe"),
            cni_conf_dir: PathBuf::from("/etc/cni/net.d"),
            cni_bin_dirs: vec![PathBuf::from("/opt/cni/bin")],
            self_image: None,
            cgroup_root: "/oarlock".to_string(),
            registries: Registries::default(),
            streaming_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }
}

/// Why the runtime did not start or did not go on.
#[derive(Debug, Error)]
pub enum Error {
    #[error("{what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("open the image store")]
    Images(#[source] ImageError),
    #[error("listen for streams on {address}")]
    Streaming {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Listen(#[from] oarlock_cri::ServeError),
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Runs until `shutdown`. `ready` is told when CRI is served. Containers are left running.
///
/// The future is boxed so that it is compiled in this crate, and not again in the binary.
pub fn run(
    config: Config,
    ready: oneshot::Sender<()>,
    shutdown: Shutdown,
) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(run_to_end(config, ready, shutdown))
}

async fn run_to_end(config: Config, ready: oneshot::Sender<()>, shutdown: Shutdown) -> Result<(), Error> {
    prepare(&config)?;
    let images = ImageStore::open(&config.root_dir.join("images")).map_err(Error::Images)?;
    if let Some(version) = &config.self_image {
        images.add_builtin(version).map_err(Error::Images)?;
    }
    let address = config.streaming_address;
    let failed = |source| Error::Streaming { address, source };
    let streams = TcpListener::bind(address).await.map_err(failed)?;
    let address = streams.local_addr().map_err(failed)?;
    let tokens = Tokens::new(format!("http://{address}"));

    let mut tasks = Tasks::new("runtime", &shutdown);
    let socket = config.socket.clone();
    let runtime = Runtime::new(config, Arc::new(images), tasks.spawner(), tokens);
    runtime.recover().await;
    runtime.images.collect(&runtime.layers_in_use());
    let listener = oarlock_cri::listen(&socket)?;
    let streaming = runtime.clone();
    tasks.spawn("streaming", move |stop| crate::streaming::serve(streaming, streams, stop));
    tasks.spawn("cri", move |stop| serve(runtime, listener, stop));
    info!(socket = %socket.display(), streaming = %address, "runtime ready");
    // Nobody may be waiting.
    let _ = ready.send(());
    Ok(tasks.join().await?)
}

/// Serves CRI and the import beside it. Calls under way at the stop are cut off; what they have begun is owned by the
/// runtime and goes on to its end.
async fn serve(runtime: Arc<Runtime>, listener: UnixListener, stop: Shutdown) -> std::io::Result<()> {
    let spawner = runtime.tasks.clone();
    let import = ImportService::new(runtime.images.clone());
    let service = Arc::new(Service(runtime));
    let router = Router {
        runtime: RuntimeServiceServer::new(service.clone()),
        images: ImageServiceServer::new(service),
        import,
    };
    while let Some(accepted) = stop.or(listener.accept()).await {
        let (stream, _) = accepted?;
        let (router, owner, stop) = (router.clone(), Owned(spawner.clone()), stop.clone());
        spawner.spawn("connection", async move {
            let builder = hyper::server::conn::http2::Builder::new(owner);
            let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            if let Some(Err(error)) = stop.or(connection).await {
                debug!(%error, "a CRI connection ended badly");
            }
        });
    }
    Ok(())
}

/// Tells the services of the socket apart by path.
#[derive(Clone)]
struct Router {
    runtime: RuntimeServiceServer<Service>,
    images: ImageServiceServer<Service>,
    import: ImportService,
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl tower::Service<http::Request<Incoming>> for Router {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Answer {
        let request = request.map(Body::new);
        let path = request.uri().path();
        if path.starts_with("/runtime.v1.ImageService/") {
            Box::pin(self.images.call(request))
        } else if path == crate::import::PATH {
            Box::pin(self.import.call(request))
        } else {
            Box::pin(self.runtime.call(request))
        }
    }
}

/// Runs hyper's tasks (one per call) under the runtime's owner.
#[derive(Clone)]
struct Owned(TaskSpawner);

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Owned {
    fn execute(&self, work: F) {
        let stop = self.0.shutdown().clone();
        self.0.spawn("call", async move {
            stop.or(work).await;
        });
    }
}

fn prepare(config: &Config) -> Result<(), Error> {
    let create = |path: &Path| {
        std::fs::create_dir_all(path).map_err(|source| Error::Io {
            what: "create",
            path: path.to_owned(),
            source,
        })
    };
    for directory in ["images", "sandboxes", "containers"] {
        create(&config.root_dir.join(directory))?;
    }
    for directory in ["s", "netns"] {
        create(&config.run_dir.join(directory))?;
    }
    make_private(&config.run_dir).map_err(|source| Error::Io {
        what: "make a private mount of",
        path: config.run_dir.clone(),
        source,
    })
}

/// Mounts below must not spread: each container's root file system belongs to its namespace alone.
fn make_private(directory: &Path) -> std::io::Result<()> {
    use nix::mount::{MsFlags, mount};
    let whole = directory.canonicalize()?;
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let text = whole.to_string_lossy();
    if !table.lines().any(|line| line.split(' ').nth(4) == Some(text.as_ref())) {
        mount(Some(&whole), &whole, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    }
    mount(None::<&str>, &whole, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?;
    Ok(())
}
