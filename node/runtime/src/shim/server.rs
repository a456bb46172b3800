//! The shim's one loop: the agent's calls, the containers' output, and the death of children.

use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, pipe2};

use super::attach::{Output, Reader, set_nonblocking};
use super::container::{self, Built, Stdio};
use super::log::{Log, Stream};
use super::protocol::{Event, ExecSpec, Exit, Request, Response, StartSpec};
use super::{namespaces, wire};
use crate::cgroup::Cgroup;
use crate::disk;

/// A connection of the agent.
struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    output: Vec<u8>,
    events: bool,
}

struct Container {
    spec: StartSpec,
    pid: Option<i32>,
    stdin: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    /// Reading ends of stdout and stderr.
    sources: [Option<OwnedFd>; 2],
    output: Output,
    exit: Option<Exit>,
}

/// A child that is building a container or a process.
struct Build {
    channel: OwnedFd,
    of: BuildOf,
    connection: u64,
}

enum BuildOf {
    Container(String),
    Exec(String),
}

/// A further process; whoever asked for it waits on `connection`.
struct Exec {
    pid: Option<i32>,
    process: PathBuf,
    connection: u64,
}

pub(crate) struct Server {
    listener: UnixListener,
    signals: SignalFd,
    connections: HashMap<u64, Connection>,
    next_connection: u64,
    containers: BTreeMap<String, Container>,
    execs: HashMap<String, Exec>,
    builds: Vec<Build>,
    /// Deaths of children that a build has not named yet.
    unclaimed: HashMap<i32, i32>,
    pause: Option<Pid>,
    stop: bool,
}

/// What a descriptor of the poll set belongs to.
enum Source {
    Listener,
    Signals,
    Connection(u64),
    Output(String, Stream),
    Behind(String),
    Build(RawFd),
}

impl Server {
    pub(crate) fn new(listener: UnixListener, pause: Option<Pid>) -> Result<Self, String> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().map_err(|e| format!("block SIGCHLD: {e}"))?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|e| format!("make a signal descriptor: {e}"))?;
        listener.set_nonblocking(true).map_err(|e| format!("set the socket non-blocking: {e}"))?;
        Ok(Self {
            listener,
            signals,
            connections: HashMap::new(),
            next_connection: 0,
            containers: BTreeMap::new(),
            execs: HashMap::new(),
            builds: Vec::new(),
            unclaimed: HashMap::new(),
            pause,
            stop: false,
        })
    }

    pub(crate) fn run(&mut self) {
        while !self.stop {
            for source in self.wait() {
                match source {
                    Source::Listener => self.accept(),
                    Source::Signals => self.reap(),
                    Source::Connection(id) => self.serve(id),
                    Source::Output(id, stream) => self.drain(&id, stream),
                    Source::Behind(id) => self.flush_readers(&id),
                    Source::Build(channel) => self.finish_build(channel),
                }
            }
        }
    }

    /// Sleeps until something is ready, and says what.
    fn wait(&self) -> Vec<Source> {
        let mut set = vec![
            (self.listener.as_fd(), PollFlags::POLLIN, Source::Listener),
            (self.signals.as_fd(), PollFlags::POLLIN, Source::Signals),
        ];
        for (id, connection) in &self.connections {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, !connection.output.is_empty());
            set.push((connection.stream.as_fd(), flags, Source::Connection(*id)));
        }
        for build in &self.builds {
            set.push((build.channel.as_fd(), PollFlags::POLLIN, Source::Build(build.channel.as_raw_fd())));
        }
        for (id, container) in &self.containers {
            for (source, stream) in container.sources.iter().zip([Stream::Stdout, Stream::Stderr]) {
                if let Some(source) = source {
                    set.push((source.as_fd(), PollFlags::POLLIN, Source::Output(id.clone(), stream)));
                }
            }
            if let (Some(terminal), Some(_)) = (&container.terminal, container.pid) {
                set.push((terminal.as_fd(), PollFlags::POLLIN, Source::Output(id.clone(), Stream::Stdout)));
            }
            for reader in container.output.readers.iter().filter(|reader| reader.is_behind()) {
                set.push((reader.pipe.as_fd(), PollFlags::POLLOUT, Source::Behind(id.clone())));
            }
        }
        let mut polled: Vec<PollFd<'_>> = set.iter().map(|(fd, flags, _)| PollFd::new(*fd, *flags)).collect();
        if poll(&mut polled, PollTimeout::NONE).is_err() {
            return Vec::new();
        }
        let ready: Vec<bool> =
            polled.iter().map(|fd| fd.revents().is_some_and(|flags| !flags.is_empty())).collect();
        set.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|((_, _, source), _)| source).collect()
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let connection = Connection {
                stream,
                input: Vec::new(),
                descriptors: Vec::new(),
                output: Vec::new(),
                events: false,
            };
            self.connections.insert(self.next_connection, connection);
            self.next_connection += 1;
        }
    }

    fn serve(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        flush(connection);
        let mut buffer = [0; 4096];
        match wire::receive(&connection.stream, &mut buffer, &mut connection.descriptors) {
            Ok(0) => {
                self.connections.remove(&id);
                return;
            }
            Ok(count) => connection.input.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(_) => {
                self.connections.remove(&id);
                return;
            }
        }
        while let Some(connection) = self.connections.get_mut(&id) {
            let frame = match wire::take_frame(&mut connection.input) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(_) => {
                    self.connections.remove(&id);
                    return;
                }
            };
            let descriptors = std::mem::take(&mut connection.descriptors);
            match serde_json::from_slice(&frame) {
                Ok(request) => self.answer(id, request, descriptors),
                Err(error) => self.reply(id, &Response::Failed { message: error.to_string() }, &[]),
            }
        }
    }

    fn answer(&mut self, id: u64, request: Request, descriptors: Vec<OwnedFd>) {
        let outcome = match request {
            Request::Start(spec) => self.start(id, spec).map(|()| None),
            Request::Exec(spec) => self.exec(id, spec, descriptors).map(|()| None),
            Request::Kill { container, signal, all } => Ok(Some(self.kill(&container, signal, all))),
            Request::KillExec { exec } => Ok(Some(self.kill_exec(&exec))),
            Request::Attach { container, stdin, stdout, stderr } => {
                self.attach(id, &container, (stdin, stdout, stderr), descriptors).map(|()| None)
            }
            Request::CloseStdin { container } => Ok(Some(self.with(&container, |c| c.stdin = None))),
            Request::ReopenLog { container } => self.reopen_log(&container).map(Some),
            Request::Dial { port } => self.dial(id, port).map(|()| None),
            Request::Events => {
                self.send_snapshot(id);
                Ok(None)
            }
            Request::Forget { container } => {
                if self.containers.get(&container).is_some_and(|c| c.pid.is_none()) {
                    self.containers.remove(&container);
                }
                Ok(Some(Response::Done))
            }
            Request::Shutdown => {
                self.shutdown();
                Ok(Some(Response::Done))
            }
        };
        match outcome {
            Ok(Some(response)) => self.reply(id, &response, &[]),
            Ok(None) => {}
            Err(message) => self.reply(id, &Response::Failed { message }, &[]),
        }
    }

    fn with(&mut self, id: &str, change: impl FnOnce(&mut Container)) -> Response {
        match self.containers.get_mut(id) {
            Some(container) => {
                change(container);
                Response::Done
            }
            None => Response::NotFound,
        }
    }

    fn reply<T: serde::Serialize>(&mut self, id: u64, message: &T, descriptors: &[RawFd]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let frame = wire::encode(message);
        if descriptors.is_empty() {
            connection.output.extend_from_slice(&frame);
            flush(connection);
        } else if wire::send(&connection.stream, &frame, descriptors).is_err() {
            // The answer is the first on its connection and short: it fits, unless the agent has gone.
            self.connections.remove(&id);
        }
    }

    fn start(&mut self, connection: u64, spec: StartSpec) -> Result<(), String> {
        if self.containers.get(&spec.id).is_some_and(|c| c.pid.is_some()) {
            return Err(format!("container {} runs already", spec.id));
        }
        let mut container = Container {
            output: Output {
                log: spec
                    .log_path
                    .as_deref()
                    .map(Log::open)
                    .transpose()
                    .map_err(|e| format!("open the log: {e}"))?,
                readers: Vec::new(),
            },
            pid: None,
            stdin: None,
            terminal: None,
            sources: [None, None],
            exit: None,
            spec,
        };
        let stdio = if container.spec.tty { None } else { Some(container.make_pipes()?) };
        let spec = container.spec.clone();
        let channel = fork_build(move || container::start(&spec, stdio))?;
        let of = BuildOf::Container(container.spec.id.clone());
        self.builds.push(Build { channel, of, connection });
        self.containers.insert(container.spec.id.clone(), container);
        Ok(())
    }

    fn exec(&mut self, connection: u64, spec: ExecSpec, descriptors: Vec<OwnedFd>) -> Result<(), String> {
        let container = self.containers.get(&spec.container).filter(|c| c.pid.is_some());
        let container_spec = container.ok_or("container not running")?.spec.clone();
        let stdio = if spec.tty { None } else { Some(stdio_of(&spec, descriptors)?) };
        let exec = Exec { pid: None, process: spec.process.clone(), connection };
        let of = BuildOf::Exec(spec.exec.clone());
        let name = spec.exec.clone();
        let channel = fork_build(move || container::exec(&container_spec, &spec, stdio))?;
        self.builds.push(Build { channel, of, connection });
        self.execs.insert(name, exec);
        Ok(())
    }

    fn finish_build(&mut self, channel: RawFd) {
        let Some(at) = self.builds.iter().position(|build| build.channel.as_raw_fd() == channel) else {
            return;
        };
        let build = self.builds.swap_remove(at);
        self.sweep();
        let (mut buffer, mut descriptors) = (vec![0; container::REPORT_BYTES_MAX], Vec::new());
        let received = wire::receive(&build.channel, &mut buffer, &mut descriptors).unwrap_or(0);
        let built = serde_json::from_slice(&buffer[..received])
            .unwrap_or(Built::Failed { message: "the process that builds containers has died".to_string() });
        match (built, build.of) {
            (Built::Running { pid }, BuildOf::Container(id)) => {
                if let Some(container) = self.containers.get_mut(&id) {
                    container.pid = Some(pid);
                    container.terminal = descriptors.pop();
                    if let Some(terminal) = &container.terminal {
                        // A blocking terminal would stop the loop; none is known to refuse this.
                        let _ = set_nonblocking(terminal);
                    }
                }
                self.reply(build.connection, &Response::Started { pid }, &[]);
                self.claim(pid);
            }
            (Built::Running { pid }, BuildOf::Exec(name)) => {
                if let Some(exec) = self.execs.get_mut(&name) {
                    exec.pid = Some(pid);
                }
                let terminal: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
                self.reply(build.connection, &Response::Started { pid }, &terminal);
                self.claim(pid);
            }
            (Built::Failed { message }, of) => {
                match of {
                    BuildOf::Container(id) => {
                        if let Some(container) = self.containers.remove(&id) {
                            container.clean_up();
                        }
                    }
                    BuildOf::Exec(name) => {
                        if let Some(exec) = self.execs.remove(&name) {
                            // The file was for libcontainer alone.
                            let _ = std::fs::remove_file(exec.process);
                        }
                    }
                }
                self.reply(build.connection, &Response::Failed { message }, &[]);
            }
        }
        if self.builds.is_empty() {
            self.unclaimed.clear();
        }
    }

    /// libcontainer leaves a socket for every process that it starts in a container: when no child needs one any more,
    /// they are removed, or years of probes would fill the memory.
    fn sweep(&self) {
        if !self.builds.is_empty() {
            return;
        }
        for container in self.containers.values().filter(|container| container.pid.is_some()) {
            let state = container.spec.state_root.join(&container.spec.id);
            for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with("tenant-") {
                    // Met again by the next sweep.
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
    }

    /// The child may have ended before its build was heard.
    fn claim(&mut self, pid: i32) {
        if let Some(code) = self.unclaimed.remove(&pid) {
            self.ended(pid, code);
        }
    }

    fn reap(&mut self) {
        while matches!(self.signals.read_signal(), Ok(Some(_))) {}
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid.as_raw(), 128 + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            self.ended(pid, code);
        }
    }

    fn ended(&mut self, pid: i32, code: i32) {
        let container = self.containers.iter().find(|(_, c)| c.pid == Some(pid)).map(|(id, _)| id.clone());
        if let Some(id) = container {
            self.container_ended(&id, code);
            return;
        }
        let exec = self.execs.iter().find(|(_, e)| e.pid == Some(pid)).map(|(name, _)| name.clone());
        if let Some(exec) = exec.and_then(|name| self.execs.remove(&name)) {
            // The file was for libcontainer alone.
            let _ = std::fs::remove_file(&exec.process);
            self.reply(exec.connection, &Response::Exited { code }, &[]);
        } else if self.pause.is_some_and(|pause| pause.as_raw() == pid) {
            self.pause = None;
        } else if !self.builds.is_empty() {
            self.unclaimed.insert(pid, code);
        }
    }

    fn container_ended(&mut self, id: &str, code: i32) {
        self.drain(id, Stream::Stdout);
        self.drain(id, Stream::Stderr);
        let Some(container) = self.containers.get_mut(id) else { return };
        let oom_killed = Cgroup::new(&container.spec.cgroup).oom_killed();
        let exit = Exit { code, at_ns: disk::now_ns(), oom_killed };
        container.pid = None;
        container.stdin = None;
        container.terminal = None;
        container.sources = [None, None];
        container.output.finish(Stream::Stdout);
        container.output.finish(Stream::Stderr);
        container.output.log = None;
        // Without the file the code is still told to an agent that listens; there is no better place for it.
        let _ = disk::write_json(&container.spec.exit_file, &exit, false);
        container.exit = Some(exit.clone());
        container.clean_up();
        let event = Event::Exited { container: id.to_string(), exit };
        let listeners: Vec<u64> =
            self.connections.iter().filter(|(_, c)| c.events).map(|(id, _)| *id).collect();
        for listener in listeners {
            self.reply(listener, &event, &[]);
        }
    }

    fn drain(&mut self, id: &str, stream: Stream) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Container { terminal, sources, output, .. } = container;
        let source = match terminal {
            Some(terminal) if stream == Stream::Stdout => &*terminal,
            _ => match &sources[stream as usize] {
                Some(source) => source,
                None => return,
            },
        };
        if !output.drain(stream, source) {
            output.finish(stream);
            sources[stream as usize] = None;
            *terminal = None;
        }
    }

    fn flush_readers(&mut self, id: &str) {
        if let Some(container) = self.containers.get_mut(id) {
            container.output.readers.retain_mut(|reader| !reader.is_behind() || reader.push(&[]));
        }
    }

    fn kill(&mut self, id: &str, signal: i32, all: bool) -> Response {
        let Some(container) = self.containers.get(id) else { return Response::NotFound };
        let Some(pid) = container.pid else { return Response::Done };
        send_signal(pid, signal);
        if all {
            for pid in Cgroup::new(&container.spec.cgroup).processes() {
                send_signal(pid, signal);
            }
        }
        Response::Done
    }

    fn kill_exec(&mut self, name: &str) -> Response {
        match self.execs.get(name) {
            Some(exec) => {
                if let Some(pid) = exec.pid {
                    send_signal(pid, libc::SIGKILL);
                }
                Response::Done
            }
            None => Response::NotFound,
        }
    }

    fn attach(
        &mut self,
        connection: u64,
        id: &str,
        (stdin, stdout, stderr): (bool, bool, bool),
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), String> {
        let container =
            self.containers.get_mut(id).filter(|c| c.pid.is_some()).ok_or("container is not running")?;
        let wanted = [(stdout, Stream::Stdout), (stderr, Stream::Stderr)];
        for ((_, stream), pipe) in wanted.into_iter().filter(|(wanted, _)| *wanted).zip(descriptors) {
            let reader = Reader::new(stream, pipe).map_err(|e| format!("attach to the output: {e}"))?;
            container.output.readers.push(reader);
        }
        let input = match &container.terminal {
            Some(terminal) => Some(terminal.as_raw_fd()),
            None => container.stdin.as_ref().filter(|_| stdin).map(AsRawFd::as_raw_fd),
        };
        match input {
            Some(input) => self.reply(connection, &Response::Descriptors, &[input]),
            None => self.reply(connection, &Response::Done, &[]),
        }
        Ok(())
    }

    fn reopen_log(&mut self, id: &str) -> Result<Response, String> {
        let Some(container) = self.containers.get_mut(id) else { return Ok(Response::NotFound) };
        if let Some(log) = &mut container.output.log {
            log.reopen().map_err(|e| format!("reopen the log: {e}"))?;
        }
        Ok(Response::Done)
    }

    fn dial(&mut self, connection: u64, port: u16) -> Result<(), String> {
        // Blocks the loop for a loopback handshake only: the kernel answers at once, one way or the other.
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .or_else(|_| TcpStream::connect((std::net::Ipv6Addr::LOCALHOST, port)))
            .map_err(|e| format!("connect to localhost:{port} inside the pod's network namespace: {e}"))?;
        self.reply(connection, &Response::Descriptors, &[stream.as_raw_fd()]);
        Ok(())
    }

    fn send_snapshot(&mut self, id: u64) {
        let snapshot = Event::Snapshot {
            running: self.containers.iter().filter_map(|(id, c)| Some((id.clone(), c.pid?))).collect(),
            exited: self
                .containers
                .iter()
                .filter_map(|(id, c)| Some((id.clone(), c.exit.clone()?)))
                .collect(),
            shim_pid: i32::try_from(std::process::id()).unwrap_or_default(),
            pause_pid: self.pause.map(Pid::as_raw),
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.events = true;
        }
        self.reply(id, &snapshot, &[]);
    }

    fn shutdown(&mut self) {
        for container in self.containers.values().filter(|c| c.pid.is_some()) {
            container.clean_up();
        }
        self.reap();
        if let Some(pause) = self.pause {
            send_signal(pause.as_raw(), libc::SIGKILL);
        }
        self.stop = true;
    }
}

impl Container {
    /// Makes the pipes and gives the container's ends of them.
    fn make_pipes(&mut self) -> Result<Stdio, String> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|e| format!("make a pipe: {e}"));
        let (stdout_source, stdout) = pipe()?;
        let (stderr_source, stderr) = pipe()?;
        for source in [&stdout_source, &stderr_source] {
            set_nonblocking(source).map_err(|e| format!("set a pipe non-blocking: {e}"))?;
        }
        self.sources = [Some(stdout_source), Some(stderr_source)];
        let stdin = if self.spec.stdin {
            let (stdin, sink) = pipe()?;
            self.stdin = Some(sink);
            stdin
        } else {
            null()?
        };
        Ok(Stdio { stdin, stdout, stderr })
    }

    /// Ends what the container has left behind and removes its group and libcontainer's notes.
    fn clean_up(&self) {
        Cgroup::new(&self.spec.cgroup).destroy();
        // It lies on tmpfs in the shim's own directory and goes with that at the latest.
        let _ = disk::remove_all(&self.spec.state_root.join(&self.spec.id));
    }
}

fn null() -> Result<OwnedFd, String> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/null");
    file.map(OwnedFd::from).map_err(|e| format!("open /dev/null: {e}"))
}

fn stdio_of(spec: &ExecSpec, descriptors: Vec<OwnedFd>) -> Result<Stdio, String> {
    let mut descriptors = descriptors.into_iter();
    let stdin = if spec.stdin { descriptors.next().ok_or("no stdin came")? } else { null()? };
    let mut output = || descriptors.next().map_or_else(null, Ok);
    Ok(Stdio { stdin, stdout: output()?, stderr: output()? })
}

/// Runs `work` in a forked child and gives the channel on which it reports.
fn fork_build(work: impl FnOnce() -> (Built, Option<OwnedFd>)) -> Result<OwnedFd, String> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(|e| format!("make a socket pair: {e}"))?;
    match namespaces::fork().map_err(|e| format!("fork: {e}"))? {
        ForkResult::Parent { .. } => Ok(ours),
        ForkResult::Child => {
            drop(ours);
            restore_signals();
            let (built, terminal) = work();
            let code = i32::from(container::report(&theirs, &built, terminal.as_ref()).is_err());
            exit_now(code)
        }
    }
}

/// The program in the container starts with the signals that every program expects.
#[expect(unsafe_code, reason = "dispositions are set by a call that could install handlers")]
fn restore_signals() {
    // Neither can fail for valid arguments.
    let _ = SigSet::all().thread_unblock();
    // SAFETY: the default disposition runs no code of ours.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
}

/// Ends a forked child without running what the shim has registered for its own end.
#[expect(unsafe_code, reason = "_exit has no safe wrapper")]
fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

fn send_signal(pid: i32, signal: i32) {
    // Through the raw call: real-time signals are valid here and unknown to nix's enumeration.
    #[expect(unsafe_code, reason = "kill has no wrapper for real-time signals")]
    // SAFETY: the call takes numbers only.
    let _ = unsafe { libc::kill(pid, signal) };
}

fn flush(connection: &mut Connection) {
    while !connection.output.is_empty() {
        match wire::send(&connection.stream, &connection.output, &[]) {
            Ok(sent) => drop(connection.output.drain(..sent)),
            Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => {}
            // Later, when there is room; a dead connection is noticed by its end of input.
            Err(_) => return,
        }
    }
}
