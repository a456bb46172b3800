//! Names of images, as people write them and as they are meant: `busybox` is `docker.io/library/busybox:latest`.

use std::fmt;
use std::str::FromStr;

use super::ImageError;

/// A whole reference: registry, repository, and a tag or a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Reference {
    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The form under which an image with this tag is kept; `None` for a digest alone.
    pub fn tagged(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| format!("{}:{tag}", self.name()))
    }

    /// The form under which an image with this digest is kept.
    pub fn with_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let bad = |reason| ImageError::Reference { text: text.to_string(), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(bad("the digest is not sha256 and 64 hexadecimal digits"));
        }
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before the last slash belongs to the registry's port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("invalid tag"));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest.to_string())
            }
            Some(_) => ("docker.io", name.to_string()),
            None => ("docker.io", format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        if !is_repository(&repository) || repository == "library/" {
            return Err(bad("invalid repository name"));
        }
        if repository.len() > 255 {
            return Err(bad("the repository name is longer than 255 characters"));
        }
        let tag = tag.map(str::to_string).or_else(|| digest.is_none().then(|| "latest".to_string()));
        Ok(Self { registry: registry.to_string(), repository, tag, digest: digest.map(str::to_string) })
    }
}

pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_hex64)
}

pub(crate) fn is_hex64(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    tag.len() <= 128
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn is_repository(name: &str) -> bool {
    name.split('/').all(|part| {
        let ends = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        ends(part.bytes().next())
            && ends(part.bytes().last())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_or_refused() {
        let hex = "a".repeat(64);
        for (text, want) in [
            ("busybox", Ok("docker.io/library/busybox:latest".to_string())),
            ("a/b:1", Ok("docker.io/a/b:1".into())),
            ("localhost/x", Ok("localhost/x:latest".into())),
            ("127.0.0.1:5000/x/y", Ok("127.0.0.1:5000/x/y:latest".into())),
            ("reg.io/x:v1", Ok("reg.io/x:v1".into())),
            ("index.docker.io/library/x", Ok("docker.io/library/x:latest".into())),
            (&format!("x@sha256:{hex}"), Ok(format!("docker.io/library/x@sha256:{hex}"))),
            (&format!("x:t@sha256:{hex}"), Ok(format!("docker.io/library/x:t@sha256:{hex}"))),
            ("x@sha256:12", Err("the digest is not sha256 and 64 hexadecimal digits")),
            ("X", Err("invalid repository name")),
            ("", Err("invalid repository name")),
            ("a//b", Err("invalid repository name")),
            ("x:-bad", Err("invalid tag")),
            ("a/../b", Err("invalid repository name")),
        ] {
            let got = text.parse::<Reference>().map(|reference| reference.to_string());
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
                (Err(ImageError::Reference { reason, .. }), Err(want)) => assert_eq!(reason, want, "{text}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }
}
