//! Requests as bytes, for what no client would send.

use anyhow::{Context, Result};

use crate::Cluster;

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    /// The field of a JSON body, as text.
    pub fn field(&self, pointer: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        match value.pointer(pointer) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    Admin,
    Nobody,
    Bearer(&'a str),
}

impl Cluster {
    /// Sends one request with curl. The body goes through a file, so it may be large.
    pub fn http(
        &self,
        who: Who<'_>,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> Result<Answer> {
        let file = self.scratch().join("body");
        std::fs::write(&file, body)?;
        let mut command = self.node_command("curl");
        command.args(["-sSk", "--http1.1", "-i", "-X", method, &format!("https://127.0.0.1:6443{path}")]);
        if !body.is_empty() {
            // Without Expect, for a server that answers before it has read all.
            command.args(["-H", "Expect:", "--data-binary", &format!("@{}", file.display())]);
        }
        match who {
            Who::Admin => {
                let (cert, key) = self.admin_files()?;
                command.args(["--cert", &cert, "--key", &key]);
            }
            Who::Nobody => {}
            Who::Bearer(token) => {
                command.args(["-H", &format!("Authorization: Bearer {token}")]);
            }
        }
        for header in headers {
            command.args(["-H", header]);
        }
        let output = command.output().context("run curl")?;
        parse(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn admin_files(&self) -> Result<(String, String)> {
        let file = |name: &str, field: &str| -> Result<String> {
            let path = self.scratch().join(name);
            if !path.exists() {
                let jsonpath = format!("jsonpath={{.users[0].user.{field}}}");
                let encoded = self.kubectl(&["config", "view", "--raw", "-o", &jsonpath]);
                let pem = crate::output::run(std::process::Command::new("base64").arg("-d"), Some(&encoded));
                std::fs::write(&path, pem.stdout)?;
            }
            Ok(path.display().to_string())
        };
        Ok((file("admin.crt", "client-certificate-data")?, file("admin.key", "client-key-data")?))
    }
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (headers, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    let code =
        headers.split(' ').nth(1).and_then(|code| code.trim().parse().ok()).context("a status line")?;
    Ok(Answer { code, headers: headers.to_lowercase(), body: body.to_string() })
}
