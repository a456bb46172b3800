//! The last steps inside a container's process: find the program, put the system call filter in place, give up the
//! capabilities that only this needed, and become the program. Says through a pipe why it could not.

use std::collections::HashMap;
use std::ffi::CString;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};

use crate::oci::capabilities::Set;

/// The annotation in the OCI specification that holds the program's capabilities, in hexadecimal.
pub(crate) const FINAL_CAPABILITIES: &str = "oarlock.dev/final-capabilities";

/// Runs the container's program in place of libcontainer's own executor.
#[derive(Clone)]
pub(crate) struct Workload {
    /// Closed by a successful exec; otherwise it carries the reason.
    status: Rc<OwnedFd>,
    seccomp: bool,
}

/// The reading end of a [`Workload`]'s status.
pub(crate) struct ExecStatus(OwnedFd, Rc<OwnedFd>);

impl Workload {
    pub(crate) fn new(seccomp: bool) -> Result<(Self, ExecStatus), String> {
        let (read, write) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| format!("make a pipe: {e}"))?;
        let write = Rc::new(write);
        Ok((Self { status: write.clone(), seccomp }, ExecStatus(read, write)))
    }

    fn fail(&self, message: &str) -> ExecutorError {
        // The process ends with an error either way; this is only the better message.
        let _ = nix::unistd::write(self.status.as_ref(), message.as_bytes());
        ExecutorError::Other(message.to_string())
    }
}

impl ExecStatus {
    /// Returns when the program runs or has failed to.
    pub(crate) fn wait(self) -> Result<(), String> {
        let Self(read, write) = self;
        drop(write);
        let mut message = String::new();
        std::fs::File::from(read)
            .read_to_string(&mut message)
            .map_err(|e| format!("read exec's status: {e}"))?;
        if message.is_empty() { Ok(()) } else { Err(message) }
    }
}

impl Executor for Workload {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let process = spec.process().as_ref();
        let arguments = process.and_then(|p| p.args().as_ref()).map(Vec::as_slice).unwrap_or_default();
        let environment = process.and_then(|p| p.env().as_ref()).map(Vec::as_slice).unwrap_or_default();
        let name = arguments.first().map(String::as_str).unwrap_or_default();
        find(name, path_of(environment)).map(|_| ()).map_err(ExecutorValidationError::ArgValidationError)
    }

    fn setup_envs(
        &self,
        _: HashMap<String, String>,
    ) -> Result<(), libcontainer::workload::ExecutorSetEnvsError> {
        // `exec` hands the environment over as it stands in the specification, in its order.
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let process = spec.process().as_ref().ok_or(ExecutorError::InvalidArg)?;
        let arguments = process.args().as_ref().ok_or(ExecutorError::InvalidArg)?;
        let mut environment = process.env().clone().unwrap_or_default();
        if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
            environment.push(format!("HOME={}", home_of(process.user().uid())));
        }
        let program = find(&arguments[0], path_of(&environment)).map_err(|message| self.fail(&message))?;
        if self.seccomp {
            super::seccomp::install(capabilities_of(spec))
                .map_err(|e| self.fail(&format!("install the seccomp filter: {e}")))?;
        }
        let strings = |list: &[String]| -> Vec<CString> {
            list.iter().filter_map(|text| CString::new(text.as_bytes()).ok()).collect()
        };
        let path =
            CString::new(program.as_os_str().as_encoded_bytes()).map_err(|_| ExecutorError::InvalidArg)?;
        let Err(error) = nix::unistd::execve(&path, &strings(arguments), &strings(&environment));
        Err(self.fail(&format!("exec {}: {}", program.display(), describe(error))))
    }
}

/// What the program is to have in the end. libcontainer is given more, which installing a filter needs.
fn capabilities_of(spec: &Spec) -> Set {
    let text = spec.annotations().as_ref().and_then(|all| all.get(FINAL_CAPABILITIES));
    Set(text.and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0))
}

fn describe(error: nix::Error) -> String {
    error.desc().to_lowercase()
}

fn path_of(environment: &[String]) -> &str {
    environment.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or("/usr/local/bin:/usr/bin:/bin")
}

/// Finds the program as execvp would, with the words in which runc refuses it (users and tools know them).
fn find(name: &str, path: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        let program = Path::new(name);
        return match std::fs::metadata(program) {
            Ok(meta) if meta.is_dir() => Err(format!("exec: \"{name}\": is a directory")),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                Err(format!("exec: \"{name}\": permission denied"))
            }
            Ok(_) => Ok(program.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(format!("exec: \"{name}\": stat {name}: permission denied"))
            }
            Err(_) => Err(format!("exec: \"{name}\": stat {name}: no such file or directory")),
        };
    }
    path.split(':')
        .map(|directory| Path::new(if directory.is_empty() { "." } else { directory }).join(name))
        .find(|program| {
            std::fs::metadata(program)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
        .filter(|_| !name.is_empty())
        .ok_or_else(|| format!("exec: \"{name}\": executable file not found in $PATH"))
}

fn home_of(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() > 5 && fields[2].parse() == Ok(uid))
        .map_or_else(|| "/".to_string(), |fields| fields[5].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_or_refused_in_known_words() {
        for (name, want) in [
            ("no-such-program", Err("exec: \"no-such-program\": executable file not found in $PATH")),
            ("/no/such", Err("exec: \"/no/such\": stat /no/such: no such file or directory")),
            ("/etc/passwd", Err("exec: \"/etc/passwd\": permission denied")),
            ("/usr", Err("exec: \"/usr\": is a directory")),
            ("sh", Ok("/bin/sh")),
        ] {
            let found = find(name, "/nowhere:/bin");
            let found = found.as_ref().map(|path| path.to_str().expect("text")).map_err(String::as_str);
            assert_eq!(found, want, "{name}");
        }
    }
}
