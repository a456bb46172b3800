//! Turns the young shim process into the holder of its pod's namespaces: network, IPC and host name, the pod's
//! /dev/shm, the safe sysctls, and the init of a shared process namespace. All but two things end with the shim and the
//! containers: the name of the network namespace, for CNI plugins, and the mount of /dev/shm; the agent removes them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{ForkResult, Pid};

use super::protocol::ShimConfig;

/// Enters fresh namespaces as the configuration asks.
pub(crate) fn enter(config: &ShimConfig) -> Result<(), String> {
    let mut wanted = CloneFlags::empty();
    wanted.set(CloneFlags::CLONE_NEWNET, config.netns_pin.is_some());
    wanted.set(CloneFlags::CLONE_NEWIPC, config.own_ipc);
    wanted.set(CloneFlags::CLONE_NEWUTS, config.own_uts);
    unshare(wanted).map_err(|e| format!("unshare {wanted:?}: {e}"))?;
    if let Some(pin) = &config.netns_pin {
        pin_network(pin).map_err(|e| format!("pin the network namespace at {}: {e}", pin.display()))?;
        raise_loopback().map_err(|e| format!("raise the loopback interface: {e}"))?;
    }
    if let (true, Some(hostname)) = (config.own_uts, &config.hostname) {
        nix::unistd::sethostname(hostname).map_err(|e| format!("set the host name {hostname:?}: {e}"))?;
    }
    for (name, value) in &config.sysctls {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::write(&path, value).map_err(|e| format!("set sysctl {name}={value}: {e}"))?;
    }
    // The shim stays in the host's mount namespace: volumes are mounted there while it lives, and a copy of its own
    // would neither see them nor let them go.
    if let Some(shm) = &config.shm {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("shm"), shm, Some("tmpfs"), flags, Some("mode=1777,size=65536k"))
            .map_err(|e| format!("mount {}: {e}", shm.display()))?;
    }
    Ok(())
}

fn pin_network(pin: &Path) -> io::Result<()> {
    File::create(pin)?;
    mount(Some("/proc/self/ns/net"), pin, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

#[expect(unsafe_code, reason = "interface flags are set by an ioctl on a C structure")]
fn raise_loopback() -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain data, for which zeroes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is a whole ifreq that outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Forks the init of the pod's shared process namespace. It does nothing but reap, in memory shared with the shim.
pub(crate) fn start_pause() -> Result<Pid, String> {
    let (read, write) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| format!("make a pipe: {e}"))?;
    match fork().map_err(|e| format!("fork: {e}"))? {
        ForkResult::Child => {
            // An intermediate: unsharing in the shim itself would put all its later children there.
            let code = match unshare(CloneFlags::CLONE_NEWPID).and_then(|()| fork()) {
                Ok(ForkResult::Child) => {
                    drop((read, write));
                    close_inherited();
                    super::pause_main()
                }
                Ok(ForkResult::Parent { child }) => {
                    let told = nix::unistd::write(&write, &child.as_raw().to_ne_bytes());
                    i32::from(told.is_err())
                }
                Err(_) => 1,
            };
            std::process::exit(code)
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut pid = [0; 4];
            let told = io::Read::read_exact(&mut File::from(read), &mut pid);
            nix::sys::wait::waitpid(child, None).map_err(|e| format!("wait for the intermediate: {e}"))?;
            told.map_err(|_| "the pod's init process could not start".to_string())?;
            Ok(Pid::from_raw(i32::from_ne_bytes(pid)))
        }
    }
}

/// The init outlives many things that the shim holds open: it must keep none of them open.
#[expect(unsafe_code, reason = "no wrapper closes descriptors that it does not own")]
fn close_inherited() {
    // SAFETY: the caller is a fork that uses no descriptor any more.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Forks; the shim has one thread, so the child may do as it likes.
#[expect(unsafe_code, reason = "fork is unsafe in general")]
pub(crate) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the process is single-threaded, so no lock can be held by a thread that is missing in the child.
    unsafe { nix::unistd::fork() }
}

/// Waits for signals forever as an init: reaps what is orphaned, ends on TERM and INT.
pub(crate) fn reap_forever() -> ! {
    let mut wanted = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        wanted.add(signal);
    }
    // Blocking valid signals in one's own thread cannot fail.
    let _ = wanted.thread_block();
    loop {
        match wanted.wait() {
            Ok(Signal::SIGCHLD) => {
                while nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG))
                    .is_ok_and(|status| status.pid().is_some())
                {}
            }
            Ok(_) => std::process::exit(0),
            Err(_) => {}
        }
    }
}
