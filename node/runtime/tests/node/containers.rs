//! Real containers through CRI, from an image built on the fly. Needs root, and busybox-static on the machine.

use std::fs;

use crate::support::{Node, container, container_pid};
use oarlock_cri::Code;
use oarlock_cri::v1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_runs_logs_and_ends() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("first")).await;
    let id = node.run_shell(&pod, "hello", "echo out; echo err >&2; hostname; id -u; exit 3").await;
    let status = node.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    let mut log = node.log("hello.log");
    log.sort();
    assert_eq!(log, ["stderr F err", "stdout F 0", "stdout F first", "stdout F out"]);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_run_in_containers() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("exec")).await;
    let id = node.run_shell(&pod, "sleeper", "exec sleep 1000").await;
    let answer = node.exec(&id, &["/bin/sh", "-c", "echo a; echo b >&2; exit 7"]).await;
    assert_eq!(
        (answer.stdout.as_slice(), answer.stderr.as_slice(), answer.exit_code),
        (&b"a\n"[..], &b"b\n"[..], 7)
    );
    let answer = node.exec(&id, &["cat", "/etc/hostname", "/etc/group"]).await;
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "exec\nroot:x:0:\nextra:x:77:web\n");

    let request = v1::ExecSyncRequest { container_id: id.clone(), cmd: vec!["no-such".into()], timeout: 5 };
    let error = node.client.exec_sync(request).await.expect_err("no such program").to_string();
    assert!(error.contains("exec: \"no-such\": executable file not found in $PATH"), "{error}");
    let cmd = vec!["sleep".into(), "1000".into()];
    let request = v1::ExecSyncRequest { container_id: id.clone(), cmd, timeout: 1 };
    let error = node.client.exec_sync(request).await.expect_err("too slow");
    assert_eq!(error.code, Code::DeadlineExceeded, "{error}");

    // Probes run for years: an exec leaves nothing behind.
    let files = |at: &std::path::Path| {
        let list =
            std::process::Command::new("find").arg(at).arg("-type").arg("f,s").output().expect("find runs");
        String::from_utf8_lossy(&list.stdout).into_owned()
    };
    node.exec(&id, &["echo"]).await;
    let before = files(&node.config.run_dir);
    for _ in 0..3 {
        node.exec(&id, &["echo"]).await;
        let request =
            v1::ExecSyncRequest { container_id: id.clone(), cmd: vec!["no-such".into()], timeout: 5 };
        node.client.exec_sync(request).await.expect_err("no such program");
    }
    assert_eq!(files(&node.config.run_dir), before);

    let stop = v1::StopContainerRequest { container_id: id.clone(), timeout: 0 };
    node.client.stop_container(stop.clone()).await.expect("stopped");
    node.client.stop_container(stop).await.expect("stopping again is nothing");
    assert_eq!(node.status(&id).await.exit_code, 137);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_asks_first() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("stop")).await;
    let script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done";
    let id = node.run_shell(&pod, "polite", script).await;
    // The trap is set before the first line is logged.
    let log = node.logs().join("polite.log");
    while !fs::read_to_string(&log).unwrap_or_default().contains("up") {
        tokio::task::yield_now().await;
    }
    let stop = v1::StopContainerRequest { container_id: id.clone(), timeout: 10 };
    node.client.stop_container(stop).await.expect("stopped");
    assert_eq!(node.status(&id).await.exit_code, 5);
    assert_eq!(node.log("polite.log"), ["stdout F up", "stdout F bye"]);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_have_networks_from_cni() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("net")).await;
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.clone(), verbose: false };
    let status = node.client.pod_sandbox_status(request).await.expect("known").status.expect("a status");
    assert_eq!(status.network.expect("a network").ip, "10.9.8.7");
    let stop = v1::StopPodSandboxRequest { pod_sandbox_id: pod.clone() };
    node.client.stop_pod_sandbox(stop.clone()).await.expect("stopped");
    node.client.stop_pod_sandbox(stop).await.expect("stopping again is nothing");
    let calls = fs::read_to_string(node.config.cni_bin_dirs[0].join("calls")).expect("called");
    let verbs: Vec<&str> = calls.lines().map(|line| line.split(' ').next().expect("a verb")).collect();
    assert_eq!(verbs, ["ADD", "DEL"]);
    assert!(calls.contains("K8S_POD_NAMESPACE=default;K8S_POD_NAME=net;"), "{calls}");
    assert_eq!(fs::read_dir(node.config.run_dir.join("netns")).expect("there").count(), 0);

    fs::remove_file(node.config.cni_conf_dir.join("10-test.conflist")).expect("there");
    let answer = node.client.status(v1::StatusRequest::default()).await.expect("answers");
    let conditions = answer.status.expect("a status").conditions;
    let network = conditions.iter().find(|c| c.r#type == "NetworkReady").expect("always there");
    assert!(!network.status && network.message.contains("no network config found"), "{network:?}");
    let request = v1::RunPodSandboxRequest { config: Some(node.pod_config("lost")), ..Default::default() };
    let error = node.client.run_pod_sandbox(request).await.expect_err("no network");
    assert!(error.to_string().contains("failed to setup network for sandbox"), "{error}");
    let host = v1::NamespaceOption { network: v1::NamespaceMode::Node as i32, ..container_pid() };
    let mut config = node.pod_config("host");
    let security = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()).expect("given");
    security.namespace_options = Some(host);
    node.pod(&config).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn security_is_as_asked() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("secure")).await;
    let mut config = container(
        "secure",
        "id -u; id -G; cat /proc/self/status | while read a b; do case $a in CapEff:|NoNewPrivs:|Seccomp:) echo $a $b;; esac; done; touch /x; unshare -m true; echo done",
    );
    let security = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()).expect("given");
    security.run_as_username = "web".into();
    security.readonly_rootfs = true;
    security.no_new_privs = true;
    security.supplemental_groups = vec![88];
    security.seccomp = Some(v1::SecurityProfile::default());
    security.capabilities =
        Some(v1::Capability { drop_capabilities: vec!["ALL".into()], ..Default::default() });
    let id = node.create(&pod, config).await;
    node.start_container(&id).await;
    node.ended(&id).await;
    let log = node.log("secure.log").join("\n");
    for want in [
        "F 33",
        "F 34 77 88",
        "F CapEff: 0000000000000000",
        "F NoNewPrivs: 1",
        "F Seccomp: 2",
        "touch: /x: Read-only file system",
        "F done",
    ] {
        assert!(log.contains(want), "{want} is not in\n{log}");
    }
    assert_eq!(node.status(&id).await.user.and_then(|user| user.linux).expect("a user").uid, 33);

    // Root under the filter keeps its capabilities, and only those.
    let mut config = container(
        "root",
        "cat /proc/self/status | while read a b; do case $a in CapEff:|CapBnd:|Seccomp:) echo $a $b;; esac; done; unshare -m true && echo bad",
    );
    let security = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()).expect("given");
    security.seccomp = Some(v1::SecurityProfile::default());
    let id = node.create(&pod, config).await;
    node.start_container(&id).await;
    node.ended(&id).await;
    let log = node.log("root.log").join("\n");
    for want in ["CapEff: 00000000a80425fb", "CapBnd: 00000000a80425fb", "Seccomp: 2"] {
        assert!(log.contains(want), "{want} is not in\n{log}");
    }
    assert!(!log.contains("bad"), "{log}");

    let mut config = container("local", "true");
    let security = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()).expect("given");
    security.seccomp = Some(v1::SecurityProfile { profile_type: 2, localhost_ref: "x.json".into() });
    let request =
        v1::CreateContainerRequest { pod_sandbox_id: pod, config: Some(config), sandbox_config: None };
    let error = node.client.create_container(request).await.expect_err("refused");
    assert!(error.to_string().contains("Localhost are not supported"), "{error}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_limited_and_the_end_has_its_reason() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("oom")).await;
    let mut config = container("hungry", "tail /dev/zero");
    config.linux.as_mut().expect("given").resources = Some(v1::LinuxContainerResources {
        memory_limit_in_bytes: 16 << 20,
        cpu_shares: 100,
        ..Default::default()
    });
    let id = node.create(&pod, config).await;
    node.start_container(&id).await;
    let status = node.ended(&id).await;
    assert_eq!((status.reason.as_str(), status.exit_code), ("OOMKilled", 137));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_outlive_the_runtime() {
    let mut node = Node::start().await;
    let pod = node.pod(&node.pod_config("long")).await;
    let stays = node.run_shell(&pod, "stays", "exec sleep 1000").await;
    let goes = node
        .run_shell(
            &pod,
            "goes",
            "cat /proc/self/stat >/dev/null; while [ ! -e /tmp-go ]; do sleep 0.05; done; exit 9",
        )
        .await;
    let before = node.exec(&stays, &["cat", "/proc/1/stat"]).await.stdout;
    node.exec(&goes, &["touch", "/tmp-go"]).await;
    node.halt().await;
    let exit = node.config.root_dir.join("containers").join(&goes).join("exit.json");
    while !exit.exists() {
        tokio::task::yield_now().await;
    }
    node.run().await;
    assert_eq!(node.status(&stays).await.state, v1::ContainerState::ContainerRunning as i32);
    assert_eq!(
        node.exec(&stays, &["cat", "/proc/1/stat"])
            .await
            .stdout
            .split(|b| *b == b' ')
            .nth(21)
            .map(<[u8]>::to_vec),
        before.split(|b| *b == b' ').nth(21).map(<[u8]>::to_vec)
    );
    assert_eq!(node.ended(&goes).await.exit_code, 9);

    // The shim is killed: its containers end, and the pod is not ready any more.
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.clone(), verbose: true };
    let info = node.client.pod_sandbox_status(request.clone()).await.expect("known").info;
    let info: serde_json::Value = serde_json::from_str(&info["info"]).expect("JSON");
    let shim = nix::unistd::Pid::from_raw(
        info["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid"),
    );
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).expect("alive");
    let status = node.ended(&stays).await;
    assert_eq!((status.reason.as_str(), status.exit_code), ("Unknown", 255));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reboot_all_has_ended() {
    let mut node = Node::start().await;
    let pod = node.pod(&node.pod_config("gone")).await;
    let id = node.run_shell(&pod, "gone", "exec sleep 1000").await;
    node.halt().await;
    // What a reboot does: no shim answers, and the record names another boot.
    let record = node.config.root_dir.join("sandboxes").join(&pod).join("record.json");
    let text = fs::read_to_string(&record).expect("there");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("there");
    fs::write(&record, text.replace(boot.trim(), "another-boot")).expect("written");
    node.run().await;
    // Nobody has seen the code, unless the old shim is there to see it, as it is in this test.
    let status = node.status(&id).await;
    assert_eq!(status.state, v1::ContainerState::ContainerExited as i32);
    assert!([255, 137].contains(&status.exit_code), "{status:?}");
    let list = node.client.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.expect("listed");
    assert_eq!(list.items[0].state, v1::PodSandboxState::SandboxNotready as i32);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_may_share_its_processes() {
    let node = Node::start().await;
    let mut config = node.pod_config("shared");
    let shared = v1::NamespaceOption { pid: v1::NamespaceMode::Pod as i32, ..Default::default() };
    let security = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()).expect("given");
    security.namespace_options = Some(shared.clone());
    let pod = node.pod(&config).await;
    let with = |name: &str, script: &str| {
        let mut config = container(name, script);
        let security =
            config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()).expect("given");
        security.namespace_options = Some(shared.clone());
        config
    };
    let first = node.create(&pod, with("first", "exec sleep 1234")).await;
    node.start_container(&first).await;
    let second = node.create(&pod, with("second", "ps; echo seen")).await;
    node.start_container(&second).await;
    node.ended(&second).await;
    assert!(node.log("second.log").join("\n").contains("sleep 1234"), "{:?}", node.log("second.log"));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_cannot_start_says_why() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("bad")).await;
    let mut config = container("bad", "");
    config.command = vec!["/no/such".into()];
    let id = node.create(&pod, config).await;
    let request = v1::StartContainerRequest { container_id: id.clone() };
    let error = node.client.start_container(request).await.expect_err("cannot").to_string();
    assert!(error.contains("exec: \"/no/such\": stat /no/such: no such file or directory"), "{error}");
    let status = node.status(&id).await;
    assert_eq!((status.reason.as_str(), status.exit_code), ("StartError", 128));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_running_executable_is_an_image() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("self")).await;
    let mut config = container("self", "");
    (config.command, config.args) = (Vec::new(), vec!["--list".into()]);
    config.image = Some(v1::ImageSpec { image: "oarlock.local/oarlock:test".into(), ..Default::default() });
    let id = node.create(&pod, config).await;
    node.start_container(&id).await;
    let status = node.ended(&id).await;
    assert_eq!(status.exit_code, 0, "{:?}", node.log("self.log"));
    assert!(node.log("self.log").iter().any(|line| line.contains("the_running_executable_is_an_image")));
    assert_eq!(status.user.and_then(|user| user.linux).expect("a user").uid, 65532);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stats_and_limits_are_read_and_changed() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("stats")).await;
    let id = node
        .run_shell(
            &pod,
            "stats",
            "dd if=/dev/zero of=/file bs=1k count=64 2>/dev/null; echo up; exec sleep 1000",
        )
        .await;
    let log = node.logs().join("stats.log");
    while !fs::read_to_string(&log).unwrap_or_default().contains("up") {
        tokio::task::yield_now().await;
    }
    let request = v1::ContainerStatsRequest { container_id: id.clone() };
    let stats = node.client.container_stats(request).await.expect("stats").stats.expect("stats");
    assert!(stats.cpu.expect("cpu").usage_core_nano_seconds.expect("a number").value > 0);
    assert!(stats.memory.expect("memory").usage_bytes.expect("a number").value > 0);
    assert!(stats.writable_layer.expect("a layer").used_bytes.expect("a number").value >= 64 * 1024);
    let limits =
        v1::LinuxContainerResources { memory_limit_in_bytes: 64 << 20, cpu_shares: 77, ..Default::default() };
    let request = v1::UpdateContainerResourcesRequest {
        container_id: id.clone(),
        linux: Some(limits),
        ..Default::default()
    };
    node.client.update_container_resources(request).await.expect("changed");
    let resources = node.status(&id).await.resources.and_then(|r| r.linux).expect("resources");
    assert_eq!((resources.memory_limit_in_bytes, resources.cpu_shares), (64 << 20, 77));
    let request = v1::PodSandboxStatsRequest { pod_sandbox_id: pod };
    let stats = node.client.pod_sandbox_stats(request).await.expect("stats").stats.and_then(|s| s.linux);
    assert_eq!(stats.expect("stats").containers.len(), 1);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_may_be_mounted_after_the_pod_began() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("volumes")).await;
    let volume = node.directory.path().join("volume");
    fs::create_dir(&volume).expect("new");
    mount(Some("tmpfs"), &volume, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("mounted");
    fs::write(volume.join("file"), "late\n").expect("written");
    let mut config = container("volumes", "cat /vol/file; touch /vol/x; echo x > /dev/shm/shared; echo done");
    config.mounts = vec![v1::Mount {
        host_path: volume.to_string_lossy().into_owned(),
        container_path: "/vol".into(),
        readonly: true,
        ..Default::default()
    }];
    let first = node.create(&pod, config).await;
    node.start_container(&first).await;
    node.ended(&first).await;
    let mut log = node.log("volumes.log");
    log.sort();
    assert_eq!(log, ["stderr F touch: /vol/x: Read-only file system", "stdout F done", "stdout F late"]);
    // Nothing of the dead container holds the volume.
    umount2(&volume, MntFlags::empty()).expect("not busy");
    let second = node.run_shell(&pod, "shm", "cat /dev/shm/shared").await;
    node.ended(&second).await;
    assert_eq!(node.log("shm.log"), ["stdout F x"]);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pods_come_and_go_at_once() {
    let node = Node::start().await;
    let begin = std::time::Instant::now();
    let one = |number: usize| {
        let node = &node;
        async move {
            let name = format!("many-{number}");
            let pod = node.pod(&node.pod_config(&name)).await;
            let id = node.run_shell(&pod, &name, "exec sleep 1000").await;
            let said = node.exec(&id, &["hostname"]).await.stdout;
            assert_eq!(String::from_utf8_lossy(&said).trim(), name);
            pod
        }
    };
    let pods = futures::future::join_all((0..20).map(one)).await;
    eprintln!("20 pods at once: {:?}", begin.elapsed());
    let remove = pods
        .into_iter()
        .map(|pod_sandbox_id| node.client.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id }));
    for removed in futures::future::join_all(remove).await {
        removed.expect("removed");
    }
    for directory in ["root/sandboxes", "root/containers", "run/s", "run/netns"] {
        let left = fs::read_dir(node.directory.path().join(directory)).expect("there").count();
        assert_eq!(left, 0, "{directory}");
    }
    node.finish().await;
}

/// Not a test of speed: prints what a pod costs, for `cargo test -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn what_a_pod_costs() {
    let node = Node::start().await;
    let mut pods = Vec::new();
    for number in 0..10 {
        let config = node.pod_config(&format!("cost-{number}"));
        let (begin, mut laps) = (std::time::Instant::now(), Vec::new());
        let pod = node.pod(&config).await;
        laps.push(begin.elapsed());
        let id = node.create(&pod, container(&format!("cost-{number}"), "exec sleep 1000")).await;
        laps.push(begin.elapsed());
        node.start_container(&id).await;
        laps.push(begin.elapsed());
        eprintln!("run, create, start: {laps:?}");
        pods.push((pod, id));
    }
    for (pod, id) in &pods[..3] {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.clone(), verbose: true };
        let info = node.client.pod_sandbox_status(request).await.expect("known").info;
        let info: serde_json::Value = serde_json::from_str(&info["info"]).expect("JSON");
        let memory = fs::read_to_string(format!("/proc/{}/smaps_rollup", info["pid"])).expect("alive");
        let lines: Vec<&str> = memory
            .lines()
            .filter(|l| ["Rss:", "Pss:", "Private_Dirty:", "Private_Clean:"].iter().any(|k| l.starts_with(k)))
            .collect();
        eprintln!("shim {lines:?}");
        let begin = std::time::Instant::now();
        node.exec(id, &["echo"]).await;
        eprintln!("exec {:?}", begin.elapsed());
    }
    let begin = std::time::Instant::now();
    let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pods[0].0.clone() };
    node.client.remove_pod_sandbox(request).await.expect("removed");
    eprintln!("remove pod with container {:?}", begin.elapsed());
    node.finish().await;
}
