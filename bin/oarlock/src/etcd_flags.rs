//! How etcd is reached: the same flags for who serves from it and who moves what is in it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::FutureExt as _;
use oarlock_apiserver::Resolver;
use oarlock_store::etcd;

/// How etcd is reached.
#[derive(Args, Debug, Clone)]
pub(crate) struct EtcdFlags {
    /// The authority that signed etcd's certificates
    #[arg(long, value_name = "FILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// The certificate to show to etcd
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// What the cluster's keys begin with in etcd
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub etcd_prefix: String,
}

impl EtcdFlags {
    /// A client of these endpoints, without compaction. Names are never resolved by the system's library: the binary is
    /// static.
    pub(crate) fn config(&self, endpoints: Vec<String>) -> etcd::Config {
        etcd::Config {
            endpoints,
            ca: self.etcd_cafile.clone(),
            cert: self.etcd_certfile.clone(),
            key: self.etcd_keyfile.clone(),
            prefix: self.etcd_prefix.clone(),
            compaction_interval: None,
            resolver: Some(Arc::new(|host: String| {
                async move { Resolver::default().resolve(&host).await.map_err(std::io::Error::other) }.boxed()
            })),
            ..etcd::Config::default()
        }
    }
}
