//! The node on somebody else's runtime: containerd and runc as Debian has them, with our network plugin.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oarlock_testkit::{NetNs, busybox_archive, eventually, kubectl_path, oarlock_path};

const PATIENCE: Duration = Duration::from_secs(60);
const BUSYBOX: &str = "localhost/busybox:test";
const PAUSE: &str = "localhost/pause:test";

/// containerd and a cluster in one network of their own; gone, with their containers, when dropped.
struct Bed {
    containerd: Option<Child>,
    oarlock: Option<Child>,
    netns: NetNs,
    dir: PathBuf,
}

impl Bed {
    fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("oarlock-ctrd-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        let netns = NetNs::new().expect("a network namespace");
        let mut bed = Self { containerd: None, oarlock: None, netns, dir };
        bed.start_containerd();
        bed.import_images();
        bed.start_oarlock();
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn start_containerd(&mut self) {
        for dir in ["data/cni/net.d", "data/cni/bin"] {
            std::fs::create_dir_all(self.path(dir)).expect("a directory of the network plugin");
        }
        let config = format!(
            "version = 2\nroot = \"{dir}/root\"\nstate = \"{dir}/state\"\n[grpc]\naddress = \"{dir}/containerd.sock\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nrestrict_oom_score_adj = true\nsandbox_image = \"{PAUSE}\"\n\
             stream_server_address = \"127.0.0.1\"\nstream_server_port = \"0\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"{dir}/data/cni/bin\"\nconf_dir = \"{dir}/data/cni/net.d\"\n",
            dir = self.dir.display()
        );
        std::fs::write(self.path("config.toml"), config).expect("written");
        let log = std::fs::File::create(self.path("containerd.log")).expect("a log");
        let mut command = self.netns.command("containerd");
        command.args(["--config", &self.text("config.toml")]).stdout(Stdio::null()).stderr(log);
        self.containerd = Some(command.spawn().expect("containerd starts (tests/setup installs it)"));
        eventually("containerd answers", PATIENCE, || self.ctr(&["version"]));
    }

    /// Two images of one layer: the pause image is busybox that sleeps.
    fn import_images(&self) {
        let archive = self.path("busybox.tar");
        busybox_archive(&archive, BUSYBOX).expect("an archive");
        self.ctr(&["images", "import", &archive.display().to_string()]).expect("imported");
        let dir = self.path("pause");
        std::fs::create_dir(&dir).expect("a directory");
        tar(&["xf", &archive.display().to_string(), "-C", &dir.display().to_string()]);
        for file in std::fs::read_dir(&dir).expect("a directory").flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read_to_string(&file).expect("JSON");
                let text =
                    text.replace(BUSYBOX, PAUSE).replace(r#"["/bin/sh"]"#, r#"["/bin/sleep","2147483647"]"#);
                std::fs::write(&file, text).expect("written");
            }
        }
        let renamed = self.text("pause-flat.tar");
        // Importers want names without a leading "./".
        let files: Vec<String> = names(&dir);
        let mut arguments = vec!["cf", &renamed, "-C"];
        let from = dir.display().to_string();
        arguments.push(&from);
        arguments.extend(files.iter().map(String::as_str));
        tar(&arguments);
        self.ctr(&["images", "import", &renamed]).expect("imported");
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String, String> {
        let socket = self.text("containerd.sock");
        run(Command::new("ctr").args(["-a", &socket, "-n", "k8s.io"]).args(arguments))
    }

    fn start_oarlock(&mut self) {
        let log = || {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(self.path("oarlock.log"));
            file.expect("a log")
        };
        let binary = oarlock_path().expect("the binary is built");
        let mut command = self.netns.command(&binary.display().to_string());
        command
            .args(["up", "--node-name", "node-1", "--data-dir", &self.text("data")])
            .args(["--container-runtime-endpoint", &format!("unix://{}", self.text("containerd.sock"))])
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log());
        self.oarlock = Some(command.spawn().expect("oarlock starts"));
        self.wait_for(&["get", "node", "node-1"], |text| text.contains(" Ready "));
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.netns.command(&kubectl_path());
        command.args(arguments).env("KUBECONFIG", self.path("data/kubeconfig")).env("HOME", &self.dir);
        command
    }

    #[track_caller]
    fn kubectl(&self, arguments: &[&str]) -> String {
        let done = run(&mut self.kubectl_command(arguments));
        done.unwrap_or_else(|why| panic!("kubectl {arguments:?}: {why}"))
    }

    #[track_caller]
    fn wait_for(&self, arguments: &[&str], holds: impl Fn(&str) -> bool) -> String {
        eventually(&format!("kubectl {arguments:?}"), PATIENCE, || {
            run(&mut self.kubectl_command(arguments))
                .and_then(|text| if holds(&text) { Ok(text) } else { Err(text) })
        })
    }

    #[track_caller]
    fn field(&self, pod: &str, path: &str, want: &str) {
        self.wait_for(&["get", "pod", pod, "-o", &format!("jsonpath={{{path}}}")], |text| text == want);
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("oarlock.log")).unwrap_or_default();
            eprintln!("{}", log.lines().rev().take(40).collect::<Vec<_>>().join("\n"));
        }
        // Takes its pods with it.
        end(self.oarlock.take());
        for container in self.ctr(&["containers", "ls", "-q"]).unwrap_or_default().lines() {
            for step in [["tasks", "rm", "-f", container].as_slice(), &["containers", "rm", container]] {
                if let Err(why) = self.ctr(step) {
                    eprintln!("cleaning up: {why}");
                }
            }
        }
        end(self.containerd.take());
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("cleaning up {}: {error}", self.dir.display());
        }
    }
}

fn end(child: Option<Child>) {
    let Some(mut child) = child else { return };
    if let Err(why) =
        run(Command::new("kill").arg(child.id().to_string())).and(child.wait().map_err(|e| e.to_string()))
    {
        eprintln!("cleaning up: {why}");
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn tar(arguments: &[&str]) {
    run(Command::new("tar").args(arguments)).expect("tar");
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    Err(format!("{stdout}{} {}", String::from_utf8_lossy(&output.stderr), output.status))
}

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: box}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: localhost/busybox:test
    imagePullPolicy: Never
    command: [sh, -c, 'echo hi > /www/index.html; exec httpd -f -p 8080 -h /www']
    resources: {requests: {cpu: 50m}, limits: {memory: 64Mi}}
    readinessProbe: {httpGet: {path: /index.html, port: 8080}, periodSeconds: 1}
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  restartPolicy: Never
  containers:
  - {name: main, image: localhost/busybox:test, imagePullPolicy: Never, command: [sh, -c, 'echo one; sleep 1; echo two; exit 3']}
"#;

#[test]
fn a_node_on_containerd() {
    let bed = Bed::start();
    std::fs::write(bed.path("pods.yaml"), PODS).expect("written");
    bed.kubectl(&["apply", "-f", &bed.text("pods.yaml")]);
    bed.field("box", ".status.conditions[?(@.type=='Ready')].status", "True");
    bed.wait_for(&["get", "node", "node-1", "-o", "wide"], |text| text.contains("containerd://"));
    bed.field("talker", ".status.containerStatuses[0].state.terminated.exitCode", "3");
    assert_eq!(bed.kubectl(&["logs", "-f", "talker"]), "one\ntwo\n");
    assert_eq!(bed.kubectl(&["exec", "box", "--", "echo", "hello"]), "hello\n");
    let failed = run(&mut bed.kubectl_command(&["exec", "box", "--", "sh", "-c", "echo out; exit 7"]));
    assert!(failed.is_err_and(|why| why.starts_with("out\n") && why.contains("exit code 7")));
    copies(&bed);
    bed.kubectl(&["delete", "pod", "box", "talker"]);
    assert_eq!(bed.kubectl(&["get", "pods", "-o", "name"]), "");
}

fn copies(bed: &Bed) {
    std::fs::write(bed.path("there"), "a file".repeat(50_000)).expect("written");
    bed.kubectl(&["cp", &bed.text("there"), "box:/tmp/there"]);
    bed.kubectl(&["cp", "box:/tmp/there", &bed.text("back")]);
    assert_eq!(
        std::fs::read(bed.path("there")).expect("read"),
        std::fs::read(bed.path("back")).expect("read")
    );
}
