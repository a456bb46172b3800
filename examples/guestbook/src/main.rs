//! A guestbook in one small static binary: `api` keeps the entries, `web` shows them, `pack` makes the binary an image.

mod api;
mod dns;
mod pack;
mod page;
mod serve;
mod web;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use oarlock_base::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

/// A guestbook
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keeps the entries, in memory
    Api {
        #[arg(long, default_value = "0.0.0.0:8080")]
        address: SocketAddr,
    },
    /// Serves the page and passes /entries on to the API
    Web {
        #[arg(long, default_value = "0.0.0.0:8080")]
        address: SocketAddr,
        /// Where the API is: http://host[:port]
        #[arg(long, env = "GUESTBOOK_API", default_value = "http://guestbook-api")]
        api: String,
        #[arg(long, env = "GUESTBOOK_TITLE", default_value = "Guestbook")]
        title: String,
        /// A file whose text greets the visitor; read for each page, so that a changed ConfigMap shows
        #[arg(long, env = "GUESTBOOK_GREETING_FILE", default_value = "/etc/guestbook/greeting")]
        greeting_file: PathBuf,
    },
    /// Writes this binary as an image, in the form of `docker save`
    Pack {
        #[arg(long, default_value = "localhost/guestbook:latest")]
        name: String,
        /// The archive
        to: PathBuf,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Pack { name, to } => pack::write(&std::env::current_exe()?, &to, &name),
        Command::Api { address } => run(|stop| serve::run(address, api::Api::default(), stop)),
        Command::Web { address, api, title, greeting_file } => {
            let web = web::Web::new(&api, title, greeting_file)?;
            run(|stop| serve::run(address, web, stop))
        }
    }
}

/// One thread is plenty; the first SIGTERM or Ctrl-C ends it in order.
fn run<F: Future<Output = Result<()>>>(work: impl FnOnce(Shutdown) -> F) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = Shutdown::new();
        let mut work = std::pin::pin!(work(stop.clone()));
        tokio::select! {
            ended = &mut work => return ended,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.trigger();
        work.await
    })
}
