//! The runtime alone, for trying it with crictl: `runtime ROOT RUN`. Also the shim of its tests: `runtime shim DIR`.

use std::path::Path;

use oarlock_base::Shutdown;
use oarlock_runtime::Config;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "shim" => std::process::exit(oarlock_runtime::shim_main(rest)),
        Some((root, [run, rest @ ..])) => serve(Path::new(root), Path::new(run), rest),
        _ => eprintln!("usage: runtime ROOT RUN [CNI-CONF-DIR CNI-BIN-DIR]"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(root: &Path, run: &Path, rest: &[String]) {
    let mut config = Config::new(root, run);
    config.self_image = Some(env!("CARGO_PKG_VERSION").to_string());
    if let [conf, bin] = rest {
        (config.cni_conf_dir, config.cni_bin_dirs) = (conf.into(), vec![bin.into()]);
    }
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let mut term =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a handler");
    let (ready, _) = tokio::sync::oneshot::channel();
    let running = oarlock_runtime::run(config, ready, shutdown);
    tokio::pin!(running);
    let outcome = tokio::select! {
        outcome = &mut running => outcome,
        _ = term.recv() => {
            stop.trigger();
            running.await
        }
    };
    if let Err(error) = outcome {
        eprintln!("{error}: {:?}", std::error::Error::source(&error));
        std::process::exit(1);
    }
}
