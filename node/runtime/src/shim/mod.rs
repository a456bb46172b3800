//! The shim: a small process of one thread per pod, the same binary executed anew. It owns the pod's namespaces, the
//! containers' standard streams and logs, their exit codes, and further processes in them. It outlives the agent,
//! which finds it again by its socket. libcontainer is called here only, each time in a forked child.

mod attach;
mod container;
mod log;
mod namespaces;
pub(crate) mod protocol;
mod seccomp;
mod server;
pub(crate) mod wire;
pub(crate) mod workload;

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

pub(crate) use attach::set_nonblocking;

/// The name of a shim's socket in its directory.
pub(crate) const SOCKET: &str = "sock";
/// The line with which a shim says that its socket is there and its namespaces are ready.
pub(crate) const READY: &str = "ready";

/// The shim's `main`: `args` is what follows `shim` on the command line, the shim's directory. To be called before
/// any thread exists. Gives the process's exit code.
pub fn shim_main(args: &[String]) -> i32 {
    let [directory] = args else {
        eprintln!("usage: shim DIRECTORY (started by the runtime, not by people)");
        return 2;
    };
    match prepare(Path::new(directory)) {
        Ok(mut server) => {
            // The agent may have gone meanwhile; it will look for the socket when it is back.
            let _ = writeln!(std::io::stdout(), "{READY}");
            detach_stdio();
            server.run();
            0
        }
        Err(message) => {
            println!("{message}");
            1
        }
    }
}

/// The `main` of the init of a pod's shared process namespace.
pub fn pause_main() -> ! {
    namespaces::reap_forever()
}

fn prepare(directory: &Path) -> Result<server::Server, String> {
    let text =
        std::fs::read(directory.join("config.json")).map_err(|e| format!("read the shim's config: {e}"))?;
    let config: protocol::ShimConfig =
        serde_json::from_slice(&text).map_err(|e| format!("parse the shim's config: {e}"))?;
    // Fails only for a group leader: then the shim was started by hand, in a session of its own.
    let _ = nix::unistd::setsid();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    become_subreaper()?;
    if let Err(error) = crate::cgroup::Cgroup::new(&config.cgroup).join() {
        // Machines without some controller, or without write access to it: the shim stays in the agent's group there.
        eprintln!("join {}: {error}", config.cgroup);
    }
    namespaces::enter(&config)?;
    let pause = if config.share_pid { Some(namespaces::start_pause()?) } else { None };
    // By its last name: the directory's path may be longer than a socket address.
    std::env::set_current_dir(directory).map_err(|e| format!("enter {}: {e}", directory.display()))?;
    let listener = UnixListener::bind(SOCKET).map_err(|e| format!("bind the shim's socket: {e}"))?;
    std::env::set_current_dir("/").map_err(|e| format!("enter /: {e}"))?;
    server::Server::new(listener, pause)
}

#[expect(unsafe_code, reason = "prctl has no safe wrapper for this option here")]
fn become_subreaper() -> Result<(), String> {
    // SAFETY: the call takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } < 0 {
        return Err(format!("become a subreaper: {}", std::io::Error::last_os_error()));
    }
    Ok(())
}

fn detach_stdio() {
    if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        // What stays open in the worst case is a pipe that nobody reads.
        let _ = nix::unistd::dup2_stdin(&null);
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
}
