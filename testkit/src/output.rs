//! Running a command to its end.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What a command gave.
#[derive(Debug)]
pub struct Output {
    pub ok: bool,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub(crate) fn run(command: &mut Command, input: Option<&str>) -> Output {
    let result = (|| {
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), input) {
            stdin.write_all(text.as_bytes())?;
        }
        child.wait_with_output()
    })();
    match result {
        Ok(output) => Output {
            ok: output.status.success(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(e) => Output { ok: false, code: None, stdout: String::new(), stderr: e.to_string() },
    }
}
