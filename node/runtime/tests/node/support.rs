//! A runtime in this process, with shims of its own, a test network and an image of busybox. Needs root.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use oarlock_base::{Shutdown, Tasks};
use oarlock_cri::Client;
use oarlock_cri::v1;
use oarlock_runtime::Config;
use tokio::sync::oneshot;

pub(crate) const IMAGE: &str = "test.local/busybox:1";

/// A plugin that gives every pod the same address and remembers what it was called for.
const PLUGIN: &str = r#"#!/bin/sh
cat > "$(dirname "$0")/stdin.$CNI_COMMAND"
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS" >> "$(dirname "$0")/calls"
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"10.9.8.7/24"}]}'
exit 0
"#;

pub(crate) struct Node {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) client: Client,
    pub(crate) config: Config,
    running: Option<Tasks>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("oar").tempdir().expect("a directory");
        let root = directory.path();
        let (conf, bin) = (root.join("net.d"), root.join("bin"));
        fs::create_dir_all(&conf).expect("new");
        fs::create_dir_all(&bin).expect("new");
        let list = r#"{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"fixed"}]}"#;
        fs::write(conf.join("10-test.conflist"), list).expect("written");
        fs::write(bin.join("fixed"), PLUGIN).expect("written");
        fs::set_permissions(bin.join("fixed"), fs::Permissions::from_mode(0o755)).expect("changed");
        let mut config = Config::new(&root.join("root"), &root.join("run"));
        config.shim_exe = PathBuf::from(env!("CARGO_BIN_EXE_oarlock-runtime"));
        config.cni_conf_dir = conf;
        config.cni_bin_dirs = vec![bin];
        config.self_image = Some("test".to_string());
        config.cgroup_root =
            format!("/{}", root.file_name().expect("named").to_string_lossy().replace('.', ""));
        let client = Client::connect(config.socket.to_string_lossy());
        let mut node = Self { directory, client, config, running: None };
        node.run().await;
        let archive = std::io::Cursor::new(busybox());
        let names = oarlock_runtime::import_archive(&node.config.socket, archive).await.expect("imported");
        assert_eq!(names, [IMAGE]);
        node
    }

    /// Starts a runtime over what is there.
    pub(crate) async fn run(&mut self) {
        let mut tasks = Tasks::new("test", &Shutdown::new());
        let (sender, ready) = oneshot::channel();
        let config = self.config.clone();
        tasks.spawn("runtime", |stop| oarlock_runtime::run(config, sender, stop));
        if ready.await.is_err() {
            panic!("the runtime did not start: {:?}", tasks.join().await);
        }
        self.running = Some(tasks);
        self.client = Client::connect(self.config.socket.to_string_lossy());
    }

    /// Stops the runtime; containers go on.
    pub(crate) async fn halt(&mut self) {
        let tasks = self.running.take().expect("running");
        tasks.shutdown().trigger();
        tasks.join().await.expect("an orderly end");
    }

    pub(crate) fn pod_config(&self, name: &str) -> v1::PodSandboxConfig {
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "default".into(),
                attempt: 0,
            }),
            hostname: name.into(),
            log_directory: self.directory.path().join("logs").join(name).to_string_lossy().into_owned(),
            labels: BTreeMap::from([("app".to_string(), name.to_string())]),
            linux: Some(v1::LinuxPodSandboxConfig {
                security_context: Some(v1::LinuxSandboxSecurityContext {
                    namespace_options: Some(container_pid()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub(crate) async fn pod(&self, config: &v1::PodSandboxConfig) -> String {
        let request =
            v1::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() };
        self.client.run_pod_sandbox(request).await.expect("the pod runs").pod_sandbox_id
    }

    pub(crate) async fn create(&self, pod: &str, config: v1::ContainerConfig) -> String {
        let sandbox_config = self.pod_config("ignored");
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: pod.into(),
            config: Some(config),
            sandbox_config: Some(v1::PodSandboxConfig {
                log_directory: self.logs().to_string_lossy().into_owned(),
                ..sandbox_config
            }),
        };
        self.client.create_container(request).await.expect("created").container_id
    }

    pub(crate) async fn start_container(&self, id: &str) {
        let request = v1::StartContainerRequest { container_id: id.into() };
        self.client.start_container(request).await.expect("started");
    }

    pub(crate) async fn status(&self, id: &str) -> v1::ContainerStatus {
        let request = v1::ContainerStatusRequest { container_id: id.into(), verbose: false };
        self.client.container_status(request).await.expect("known").status.expect("a status")
    }

    /// Waits for the container's end by the runtime's own events.
    pub(crate) async fn ended(&self, id: &str) -> v1::ContainerStatus {
        let mut events = self.client.get_container_events(v1::GetEventsRequest {}).await.expect("events");
        loop {
            let status = self.status(id).await;
            if status.state == v1::ContainerState::ContainerExited as i32 {
                return status;
            }
            let next = tokio::time::timeout(std::time::Duration::from_secs(20), events.message());
            next.await.expect("an event in time").expect("an event").expect("the stream goes on");
        }
    }

    pub(crate) async fn exec(&self, id: &str, command: &[&str]) -> v1::ExecSyncResponse {
        let cmd = command.iter().map(|part| (*part).to_string()).collect();
        let request = v1::ExecSyncRequest { container_id: id.into(), cmd, timeout: 20 };
        self.client.exec_sync(request).await.expect("executed")
    }

    pub(crate) async fn run_shell(&self, pod: &str, name: &str, script: &str) -> String {
        let id = self.create(pod, container(name, script)).await;
        self.start_container(&id).await;
        id
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    /// The lines of a log, without their times.
    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.logs().join(name)).unwrap_or_default();
        text.lines().map(|line| line.split_once(' ').expect("a time").1.to_string()).collect()
    }

    /// Removes all pods and stops the runtime.
    pub(crate) async fn finish(mut self) {
        self.clear().await;
        self.halt().await;
    }

    /// The processes in the groups of this node: shims and what runs in containers.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let ours = format!("{}/", self.config.cgroup_root);
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
        let in_group = |pid: &i32| {
            let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            group.lines().any(|line| line.contains(&ours))
        };
        pids.filter(in_group).collect()
    }

    async fn clear(&self) {
        let all = self.client.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.expect("listed");
        for pod in all.items {
            let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod.id };
            self.client.remove_pod_sandbox(request).await.expect("removed");
        }
    }
}

impl Drop for Node {
    /// After a failed test, too: no process, mount or group stays.
    fn drop(&mut self) {
        let run = &self.config.run_dir;
        for pid in self.processes() {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        for netns in fs::read_dir(run.join("netns")).into_iter().flatten().flatten() {
            let _ = nix::mount::umount2(&netns.path(), nix::mount::MntFlags::MNT_DETACH);
        }
        let _ = nix::mount::umount2(run, nix::mount::MntFlags::MNT_DETACH);
        let name = self.config.cgroup_root.trim_start_matches('/');
        // Killed processes leave their groups a moment later, without a signal for it.
        for _ in 0..100 {
            if remove_groups(Path::new("/sys/fs/cgroup"), name) {
                return;
            }
            std::thread::yield_now();
        }
    }
}

fn remove_groups(root: &Path, name: &str) -> bool {
    fn remove(directory: &Path) -> bool {
        for child in fs::read_dir(directory).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&child.path());
            }
        }
        fs::remove_dir(directory).is_ok() || !directory.exists()
    }
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|hierarchy| hierarchy.path());
    // All of them, whatever the first says.
    hierarchies
        .chain([root.to_owned()])
        .map(|hierarchy| remove(&hierarchy.join(name)))
        .fold(true, std::ops::BitAnd::bitand)
}

/// A process namespace for each container, as kubelets ask for by default.
pub(crate) fn container_pid() -> v1::NamespaceOption {
    v1::NamespaceOption { pid: v1::NamespaceMode::Container as i32, ..Default::default() }
}

pub(crate) fn container(name: &str, script: &str) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: name.into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: IMAGE.into(), ..Default::default() }),
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        log_path: format!("{name}.log"),
        linux: Some(v1::LinuxContainerConfig {
            resources: None,
            security_context: Some(v1::LinuxContainerSecurityContext {
                namespace_options: Some(container_pid()),
                ..Default::default()
            }),
        }),
        ..Default::default()
    }
}

/// A file system that holds busybox alone, as a tar archive.
pub(crate) fn layer() -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    let mut add = |kind, path: &str, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        if link.is_empty() {
            layer.append_data(&mut header, path, content).expect("in memory");
        } else {
            layer.append_link(&mut header, path, link).expect("in memory");
        }
    };
    let program = fs::read("/bin/busybox").expect("busybox-static is installed");
    add(tar::EntryType::Regular, "bin/busybox", "", &program);
    for applet in [
        "sh", "sleep", "cat", "echo", "id", "hostname", "ls", "ps", "mount", "touch", "wc", "head", "nc",
        "stty", "unshare", "tail", "dd",
    ] {
        add(tar::EntryType::Symlink, &format!("bin/{applet}"), "busybox", b"");
    }
    add(
        tar::EntryType::Regular,
        "etc/passwd",
        "",
        b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/home/web:/bin/sh\n",
    );
    add(tar::EntryType::Regular, "etc/group", "", b"root:x:0:\nextra:x:77:web\n");
    layer.into_inner().expect("in memory")
}

/// `docker save` of an image of that.
fn busybox() -> Vec<u8> {
    let layer = layer();
    let diff_id = format!("sha256:{}", hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&layer)));
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]);
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [
        ("config.json", config.to_string().into_bytes()),
        ("layer.tar", layer),
        ("manifest.json", manifest.to_string().into_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content.as_slice()).expect("in memory");
    }
    archive.into_inner().expect("in memory")
}
