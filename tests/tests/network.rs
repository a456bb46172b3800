//! Who reaches whom, by which address and name.

use std::time::Duration;

use oarlock_testkit::{Cluster, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn who_reaches_whom() {
    let cluster = Cluster::with_busybox().expect("a cluster");
    for name in ["left", "right"] {
        server(&cluster, name);
    }
    for name in ["left", "right"] {
        cluster.wait_ready(name);
    }
    pods_the_node_and_the_outside(&cluster);
    names(&cluster);
    datagrams(&cluster);
    local_traffic(&cluster);
    endpoints_come_and_go(&cluster);
    a_service_without_selector(&cluster);
}

/// A pod that says its name on port 8080.
fn server(cluster: &Cluster, name: &str) {
    let serve = "hostname > /www/index.html; exec httpd -f -p 8080 -h /www";
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: peers, pod: {name}}}}}, spec: {{hostname: {name}, subdomain: peers, \
         terminationGracePeriodSeconds: 1, containers: [{{name: main, image: {}, imagePullPolicy: Never, command: [sh, -c, '{serve}'], \
         ports: [{{name: http, containerPort: 8080}}]}}]}}}}",
        cluster.busybox()
    ));
}

fn ip(cluster: &Cluster, pod: &str) -> String {
    cluster.kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"])
}

/// What a script in a pod prints, when it is what is wanted.
#[track_caller]
fn inside(cluster: &Cluster, pod: &str, script: &str, holds: impl Fn(&str) -> bool) -> String {
    eventually(script, PATIENCE, || {
        let output = cluster.try_kubectl(&["exec", pod, "--", "sh", "-c", script]);
        if holds(output.stdout.trim()) { Ok(output.stdout) } else { Err(output.stdout + &output.stderr) }
    })
}

fn fetch(host: &str, port: u16) -> String {
    format!("printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {host} {port} | tail -n 1")
}

fn pods_the_node_and_the_outside(cluster: &Cluster) {
    let (left, right) = (ip(cluster, "left"), ip(cluster, "right"));
    assert!(left != right && left.starts_with("10.244."), "{left} {right}");
    inside(cluster, "left", &fetch(&right, 8080), |page| page == "right");
    let page = cluster.on_node("curl", &["-s", "--noproxy", "*", &format!("http://{left}:8080/index.html")]);
    assert_eq!(page.stdout, "left\n", "from the node: {}", page.stderr);
    // The kubelet's port on the node, and a listener outside of the cluster, at the other end of its cable.
    let node = cluster.node_ip();
    inside(cluster, "left", &format!("nc -w 5 {node} 10250 </dev/null && echo open"), |said| said == "open");
    let outside = std::net::Ipv4Addr::from(u32::from(node) - 1);
    let listener = std::net::TcpListener::bind((outside, 0)).expect("a port of the test's side");
    let port = listener.local_addr().expect("bound").port();
    let heard = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, from) = listener.accept().expect("somebody comes");
        writeln!(stream, "welcome").expect("it listens");
        from.ip()
    });
    inside(cluster, "left", &format!("nc -w 5 {outside} {port} </dev/null"), |said| said == "welcome");
    assert_eq!(
        heard.join().expect("it was heard"),
        std::net::IpAddr::from(node),
        "pods hide behind their node"
    );
}

fn names(cluster: &Cluster) {
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: peers}, spec: {clusterIP: None, selector: {app: peers}, ports: [{name: http, port: 8080}]}}",
    );
    cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: alias}, spec: {type: ExternalName, externalName: peers.default.svc.cluster.local}}");
    cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: peers}, ports: [{name: http, port: 80, targetPort: http}]}}");
    let (left, right) = (ip(cluster, "left"), ip(cluster, "right"));
    let web = cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    let zone = "default.svc.cluster.local";
    let answers = [
        (format!("peers.{zone}"), vec![left.clone(), right.clone()]),
        (format!("left.peers.{zone}"), vec![left.clone()]),
        (format!("alias.{zone}"), vec![format!("peers.{zone}"), left.clone()]),
        (format!("web.{zone}"), vec![web.clone()]),
        (web.clone(), vec![format!("web.{zone}")]),
        (left.clone(), vec![format!("left.peers.{zone}")]),
        ("kubernetes.default.svc.cluster.local".into(), vec!["10.96.0.1".into()]),
    ];
    for (name, want) in &answers {
        inside(cluster, "right", &format!("nslookup {name}"), |said| {
            want.iter().all(|part| said.contains(part))
        });
    }
    let srv = format!("nslookup -type=srv _http._tcp.web.{zone}");
    inside(cluster, "right", &srv, |said| said.contains(&format!("80 web.{zone}")));
    let srv = format!("nslookup -type=srv _http._tcp.peers.{zone}");
    inside(cluster, "right", &srv, |said| {
        said.contains(&format!("8080 left.peers.{zone}")) && said.contains("right.peers")
    });
    inside(cluster, "right", &format!("nslookup nobody.{zone} 2>&1"), |said| said.contains("NXDOMAIN"));
    // A search path makes short names work.
    inside(cluster, "right", &fetch("web.default", 80), |page| ["left", "right"].contains(&page));
}

/// Cluster DNS behind a second Service: asked from outside of the node, several times from one port (one connection, in the
/// eyes of the kernel) and from new ones.
fn datagrams(cluster: &Cluster) {
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: dgram, namespace: kube-system}, spec: {type: NodePort, selector: {k8s-app: kube-dns}, \
         ports: [{port: 90, targetPort: 53, protocol: UDP}]}}",
    );
    let port = cluster.kubectl(&[
        "get",
        "service",
        "dgram",
        "-n",
        "kube-system",
        "-o",
        "jsonpath={.spec.ports[0].nodePort}",
    ]);
    let port: u16 = port.parse().expect("a port");
    let ask = |socket: &std::net::UdpSocket| -> std::io::Result<bool> {
        socket.send_to(&question(), (cluster.node_ip(), port))?;
        let mut answer = [0; 512];
        let (length, from) = socket.recv_from(&mut answer)?;
        // The address of the `kubernetes` Service ends the answer; it comes from where the question went.
        Ok(from.port() == port && answer[..length].windows(4).any(|bytes| bytes == [10, 96, 0, 1]))
    };
    let socket = || -> std::io::Result<std::net::UdpSocket> {
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(socket)
    };
    let one = eventually("a first answer", PATIENCE, || {
        let socket = socket().map_err(|e| e.to_string())?;
        ask(&socket).map_err(|e| e.to_string())?.then_some(socket).ok_or("another answer".to_string())
    });
    for _ in 0..3 {
        assert!(ask(&one).expect("an answer"));
        assert!(ask(&socket().expect("a socket")).expect("an answer"));
    }
}

/// The address of kubernetes.default.svc.cluster.local, as RFC 1035 asks for it.
fn question() -> Vec<u8> {
    let mut bytes = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["kubernetes", "default", "svc", "cluster", "local"] {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

fn local_traffic(cluster: &Cluster) {
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: local}, spec: {type: NodePort, externalTrafficPolicy: Local, selector: {pod: left}, \
         ports: [{port: 80, targetPort: http}]}}",
    );
    let port = cluster.kubectl(&["get", "service", "local", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    // From outside of the node: the test's own side of the cable.
    let url = format!("http://{}:{port}/index.html", cluster.node_ip());
    eventually("from outside", PATIENCE, || {
        let page = std::process::Command::new("curl")
            .args(["-s", "--noproxy", "*", "-m", "5", &url])
            .output()
            .expect("curl runs");
        if page.stdout == b"left\n" { Ok(()) } else { Err(format!("{page:?}")) }
    });
}

fn endpoints_come_and_go(cluster: &Cluster) {
    let answers = |want: &'static str| {
        let script = format!("for i in 1 2 3 4 5 6 7 8; do {}; done", fetch("web", 80));
        inside(cluster, "left", &script, move |said| {
            let mut names: Vec<&str> = said.lines().collect();
            names.sort_unstable();
            names.dedup();
            names.join(" ") == want
        });
    };
    answers("left right");
    cluster.kubectl(&["delete", "pod", "right", "--wait=false"]);
    answers("left");
    let addresses = [
        "get",
        "endpointslices",
        "-l",
        "kubernetes.io/service-name=web",
        "-o",
        "jsonpath={.items[*].endpoints[*].addresses[0]}",
    ];
    let left = ip(cluster, "left");
    cluster.wait_for(&addresses, |said| said == left);
    cluster.kubectl(&["patch", "service", "web", "-p", r#"{"spec":{"selector":{"pod":"none"}}}"#]);
    inside(cluster, "left", &format!("({}) 2>&1", fetch("web", 80)), |said| said.contains("refused"));
    let address = cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    let refused =
        cluster.on_node("curl", &["-s", "--noproxy", "*", "-m", "5", &format!("http://{address}/")]);
    assert_eq!(refused.code, Some(7), "refused, not timed out: {refused:?}");
    cluster.kubectl(&["delete", "service", "web"]);
    inside(cluster, "left", "nslookup web.default.svc.cluster.local 2>&1", |said| said.contains("NXDOMAIN"));
}

/// Endpoints that a person writes.
fn a_service_without_selector(cluster: &Cluster) {
    let left = ip(cluster, "left");
    cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: manual}, spec: {ports: [{name: http, port: 80, targetPort: 8080}]}}");
    cluster.apply(&format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: manual-1, labels: {{kubernetes.io/service-name: manual}}}}, \
         addressType: IPv4, ports: [{{name: http, port: 8080, protocol: TCP}}], endpoints: [{{addresses: ['{left}'], conditions: {{ready: true}}}}]}}"
    ));
    inside(cluster, "left", &fetch("manual", 80), |page| page == "left");
}
