//! Builds `config.json`: what libcontainer is to run.

use oarlock_cri::v1::{
    ContainerConfig, LinuxContainerResources, LinuxContainerSecurityContext, NamespaceMode, ProfileType,
};
use serde_json::{Map, Value, json};

use super::capabilities::Set;
use super::mounts::{self, Basics};
use super::user::User;
use super::{ImageConfig, devices};
use crate::shim::workload::FINAL_CAPABILITIES;

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a container's specification is made of.
pub(crate) struct Input<'a> {
    pub config: &'a ContainerConfig,
    pub image: &'a ImageConfig,
    pub user: &'a User,
    pub hostname: &'a str,
    pub basics: Basics<'a>,
    pub namespaces: Namespaces,
    pub cgroup: &'a str,
    pub possible: Set,
    pub swap_accounted: bool,
}

/// Paths of the pod's namespaces; `None` is the host's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Namespaces {
    pub network: Option<String>,
    pub ipc: Option<String>,
    pub uts: Option<String>,
    pub pid: PidNamespace,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum PidNamespace {
    #[default]
    Own,
    Host,
    Joined(String),
}

/// Whether the runtime's filter applies; refuses what it cannot honour.
pub(crate) fn seccomp(security: &LinuxContainerSecurityContext) -> Result<bool, String> {
    if security.privileged {
        return Ok(false);
    }
    match security.seccomp.as_ref().map(|profile| ProfileType::try_from(profile.profile_type)) {
        None | Some(Ok(ProfileType::Unconfined)) => Ok(false),
        Some(Ok(ProfileType::RuntimeDefault)) => Ok(true),
        Some(_) => Err("seccomp profiles of type Localhost are not supported by this runtime".to_string()),
    }
}

/// Without AppArmor in the runtime only "none" and the default can be honoured.
pub(crate) fn check_apparmor(security: &LinuxContainerSecurityContext) -> Result<(), String> {
    let localhost =
        security.apparmor.as_ref().is_some_and(|p| p.profile_type == ProfileType::Localhost as i32);
    if localhost && !security.privileged {
        return Err("AppArmor profiles of type Localhost are not supported by this runtime".to_string());
    }
    Ok(())
}

/// The whole specification.
pub(crate) fn build(input: &Input<'_>) -> Result<Value, String> {
    let security = security_of(input.config);
    let mut linux = Map::new();
    linux.insert("cgroupsPath".into(), json!(input.cgroup));
    linux.insert("namespaces".into(), namespaces(input));
    let nodes = if security.privileged { devices::all() } else { devices::asked(&input.config.devices)? };
    linux.insert("devices".into(), nodes.iter().map(devices::Node::node).collect());
    let rules = if security.privileged {
        vec![json!({ "allow": true, "access": "rwm" })]
    } else {
        let refused = std::iter::once(json!({ "allow": false, "access": "rwm" }));
        refused.chain(nodes.iter().map(devices::Node::rule)).collect()
    };
    let limits = input.config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let mut resources = resources(&limits, input.swap_accounted);
    resources.insert("devices".into(), Value::Array(rules));
    linux.insert("resources".into(), Value::Object(resources));
    if !security.privileged {
        linux.insert("maskedPaths".into(), json!(security.masked_paths));
        linux.insert("readonlyPaths".into(), json!(security.readonly_paths));
    }
    if let Some(propagation) = mounts::root_propagation(&input.config.mounts) {
        linux.insert("rootfsPropagation".into(), json!(propagation));
    }
    let wanted = capabilities(&security, input.possible)?;
    Ok(json!({
        "ociVersion": "1.1.0",
        "process": process(input, &security, wanted)?,
        "root": { "path": "rootfs", "readonly": security.readonly_rootfs },
        "mounts": mounts::all(&input.basics, &input.config.mounts)?,
        "annotations": { FINAL_CAPABILITIES: format!("{:x}", wanted.0) },
        "linux": linux,
    }))
}

/// The security context, with defaults where the pod gives none.
pub(crate) fn security_of(config: &ContainerConfig) -> LinuxContainerSecurityContext {
    config.linux.as_ref().and_then(|linux| linux.security_context.clone()).unwrap_or_default()
}

fn process(
    input: &Input<'_>,
    security: &LinuxContainerSecurityContext,
    wanted: Set,
) -> Result<Value, String> {
    let (config, image) = (input.config, input.image);
    let working_dir = [&config.working_dir, &image.working_dir].into_iter().find(|dir| !dir.is_empty());
    let mut process = json!({
        "terminal": config.tty,
        "user": { "uid": input.user.uid, "gid": input.user.gid, "additionalGids": input.user.groups },
        "args": arguments(config, image)?,
        "env": environment(config, image, input.hostname),
        "cwd": working_dir.map_or("/", String::as_str),
        "capabilities": capability_lists(security, wanted, seccomp(security)?),
    });
    if security.no_new_privs {
        process["noNewPrivileges"] = json!(true);
    }
    Ok(process)
}

fn arguments(config: &ContainerConfig, image: &ImageConfig) -> Result<Vec<String>, String> {
    let (command, defaults) = if config.command.is_empty() {
        (&image.entrypoint, &image.cmd)
    } else {
        // A command of the pod's own never takes the image's arguments.
        (&config.command, &config.args)
    };
    let arguments = if config.args.is_empty() { defaults } else { &config.args };
    let all: Vec<String> = command.iter().chain(arguments).cloned().collect();
    if all.is_empty() { Err("no command specified".to_string()) } else { Ok(all) }
}

fn environment(config: &ContainerConfig, image: &ImageConfig, hostname: &str) -> Vec<String> {
    let mut all: Vec<String> = vec![DEFAULT_PATH.to_string(), format!("HOSTNAME={hostname}")];
    if config.tty {
        all.push("TERM=xterm".to_string());
    }
    let own = config.envs.iter().map(|env| format!("{}={}", env.key, String::from_utf8_lossy(&env.value)));
    for entry in image.env.iter().cloned().chain(own) {
        let name = entry.split('=').next().unwrap_or_default();
        match all.iter_mut().find(|known| known.split('=').next() == Some(name)) {
            Some(known) => *known = entry,
            None => all.push(entry),
        }
    }
    all
}

fn capabilities(security: &LinuxContainerSecurityContext, possible: Set) -> Result<Set, String> {
    if security.privileged {
        return Ok(possible);
    }
    let asked = security.capabilities.clone().unwrap_or_default();
    let set = Set::by_default().changed(&asked.add_capabilities, &asked.drop_capabilities)?;
    Ok(set.changed(&asked.add_ambient_capabilities, &[])?.and(possible))
}

fn capability_lists(security: &LinuxContainerSecurityContext, wanted: Set, filtered: bool) -> Value {
    // Installing a filter needs these two; the program does not keep them (shim/seccomp.rs).
    let lent = if filtered { wanted.with("CAP_SYS_ADMIN").with("CAP_SETPCAP") } else { wanted };
    let ambient: Vec<String> = security.capabilities.clone().unwrap_or_default().add_ambient_capabilities;
    let ambient = Set(0).changed(&ambient, &[]).unwrap_or_default().and(wanted);
    json!({
        "bounding": lent.names(), "effective": lent.names(), "permitted": lent.names(),
        "inheritable": ambient.names(), "ambient": ambient.names(),
    })
}

fn namespaces(input: &Input<'_>) -> Value {
    let mut list = vec![json!({ "type": "mount" })];
    let pod = &input.namespaces;
    for (kind, path) in [("network", &pod.network), ("ipc", &pod.ipc), ("uts", &pod.uts)] {
        if let Some(path) = path {
            list.push(json!({ "type": kind, "path": path }));
        }
    }
    match &pod.pid {
        PidNamespace::Own => list.push(json!({ "type": "pid" })),
        PidNamespace::Joined(path) => list.push(json!({ "type": "pid", "path": path })),
        PidNamespace::Host => {}
    }
    if input.basics.unified_cgroups && !input.basics.privileged {
        list.push(json!({ "type": "cgroup" }));
    }
    Value::Array(list)
}

fn resources(asked: &LinuxContainerResources, swap_accounted: bool) -> Map<String, Value> {
    let mut all = Map::new();
    let mut cpu = Map::new();
    for (key, value) in
        [("shares", asked.cpu_shares), ("quota", asked.cpu_quota), ("period", asked.cpu_period)]
    {
        if value != 0 {
            cpu.insert(key.into(), json!(value));
        }
    }
    for (key, value) in [("cpus", &asked.cpuset_cpus), ("mems", &asked.cpuset_mems)] {
        if !value.is_empty() {
            cpu.insert(key.into(), json!(value));
        }
    }
    if !cpu.is_empty() {
        all.insert("cpu".into(), Value::Object(cpu));
    }
    if asked.memory_limit_in_bytes != 0 {
        let mut memory = json!({ "limit": asked.memory_limit_in_bytes });
        if asked.memory_swap_limit_in_bytes != 0 && swap_accounted {
            memory["swap"] = json!(asked.memory_swap_limit_in_bytes);
        }
        all.insert("memory".into(), memory);
    }
    if !asked.unified.is_empty() {
        all.insert("unified".into(), json!(asked.unified));
    }
    all
}

/// A further process: the container's own, with another command.
pub(crate) fn exec_process(spec: &Value, command: &[String], tty: bool) -> Value {
    let mut process = spec["process"].clone();
    process["args"] = json!(command);
    process["terminal"] = json!(tty);
    if tty && let Some(env) = process["env"].as_array_mut() {
        let has_term = env.iter().any(|entry| entry.as_str().is_some_and(|entry| entry.starts_with("TERM=")));
        if !has_term {
            env.push(json!("TERM=xterm"));
        }
    }
    process
}

/// The mode of the process namespace that a container asks for.
pub(crate) fn pid_mode(config: &ContainerConfig) -> (NamespaceMode, String) {
    let options = security_of(config).namespace_options.unwrap_or_default();
    (NamespaceMode::try_from(options.pid).unwrap_or(NamespaceMode::Pod), options.target_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use oarlock_cri::v1::{Capability, KeyValue, LinuxContainerConfig, SecurityProfile};

    fn spec(config: &ContainerConfig, namespaces: Namespaces) -> Result<Value, String> {
        let image = ImageConfig {
            entrypoint: vec!["/entry".into()],
            cmd: vec!["default".into()],
            env: vec!["A=image".into(), "PATH=/p".into()],
            working_dir: "/work".into(),
            ..ImageConfig::default()
        };
        let basics = Basics { privileged: security_of(config).privileged, shm: "/shm", ..Basics::default() };
        build(&Input {
            config,
            image: &image,
            user: &User { uid: 1, gid: 2, groups: vec![2, 3] },
            hostname: "pod",
            basics,
            namespaces,
            cgroup: "/kubepods/c",
            possible: Set(u64::MAX >> 23),
            swap_accounted: false,
        })
    }

    fn with(security: LinuxContainerSecurityContext, resources: LinuxContainerResources) -> ContainerConfig {
        let linux = LinuxContainerConfig { resources: Some(resources), security_context: Some(security) };
        ContainerConfig { linux: Some(linux), ..ContainerConfig::default() }
    }

    fn check(name: &str, config: &ContainerConfig, pointer: &str, want: Expect) {
        let got = spec(config, Namespaces::default())
            .map_or_else(|error| error, |spec| spec.pointer(pointer).unwrap_or(&Value::Null).to_string());
        eprintln!("{name}");
        want.assert_eq(&got);
    }

    #[test]
    fn a_configuration_becomes_a_specification() {
        let plain = ContainerConfig::default();
        check("args of the image", &plain, "/process/args", expect![[r#"["/entry","default"]"#]]);
        let own = ContainerConfig { args: vec!["x".into()], ..plain.clone() };
        check("args of the pod", &own, "/process/args", expect![[r#"["/entry","x"]"#]]);
        let own = ContainerConfig { command: vec!["/c".into()], ..plain.clone() };
        check("command of the pod", &own, "/process/args", expect![[r#"["/c"]"#]]);
        let envs = vec![KeyValue { key: "A".into(), value: b"pod".to_vec() }];
        let own = ContainerConfig { envs, tty: true, ..plain.clone() };
        check(
            "environment",
            &own,
            "/process/env",
            expect![[r#"["PATH=/p","HOSTNAME=pod","TERM=xterm","A=pod"]"#]],
        );
        check("working directory", &plain, "/process/cwd", expect![[r#""/work""#]]);
        check("user", &plain, "/process/user", expect![[r#"{"additionalGids":[2,3],"gid":2,"uid":1}"#]]);
        check("namespaces", &plain, "/linux/namespaces", expect![[r#"[{"type":"mount"},{"type":"pid"}]"#]]);
    }

    #[test]
    fn security_and_limits_become_linux() {
        let drop_all = Capability { drop_capabilities: vec!["ALL".into()], ..Capability::default() };
        let security = LinuxContainerSecurityContext {
            capabilities: Some(drop_all),
            no_new_privs: true,
            readonly_rootfs: true,
            masked_paths: vec!["/proc/kcore".into()],
            ..LinuxContainerSecurityContext::default()
        };
        let limits = LinuxContainerResources {
            cpu_shares: 512,
            cpu_quota: 50_000,
            cpu_period: 100_000,
            memory_limit_in_bytes: 1 << 20,
            memory_swap_limit_in_bytes: 1 << 20,
            ..LinuxContainerResources::default()
        };
        let config = with(security.clone(), limits);
        check("no capabilities", &config, "/process/capabilities/bounding", expect!["[]"]);
        check("no new privileges", &config, "/process/noNewPrivileges", expect!["true"]);
        check("root", &config, "/root", expect![[r#"{"path":"rootfs","readonly":true}"#]]);
        check("masked", &config, "/linux/maskedPaths", expect![[r#"["/proc/kcore"]"#]]);
        check(
            "cpu",
            &config,
            "/linux/resources/cpu",
            expect![[r#"{"period":100000,"quota":50000,"shares":512}"#]],
        );
        check("memory", &config, "/linux/resources/memory", expect![[r#"{"limit":1048576}"#]]);
        let profile = |profile_type| Some(SecurityProfile { profile_type, localhost_ref: String::new() });
        let filtered = LinuxContainerSecurityContext { seccomp: profile(0), ..security.clone() };
        check(
            "a filter borrows capabilities",
            &with(filtered.clone(), LinuxContainerResources::default()),
            "/process/capabilities/effective",
            expect![[r#"["CAP_SETPCAP","CAP_SYS_ADMIN"]"#]],
        );
        check(
            "and the program has its own",
            &with(filtered, LinuxContainerResources::default()),
            "/annotations",
            expect![[r#"{"oarlock.dev/final-capabilities":"0"}"#]],
        );
        let local = LinuxContainerSecurityContext { seccomp: profile(2), ..security };
        check(
            "no files of profiles",
            &with(local, LinuxContainerResources::default()),
            "",
            expect!["seccomp profiles of type Localhost are not supported by this runtime"],
        );
    }
}
