//! What is encrypted when nobody says otherwise: Secrets, with a key made at the first start.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{
    AesConfiguration, ConfigError, EncryptionConfiguration, Identity, Key, ProviderConfiguration,
    ResourceConfiguration,
};

/// The configuration file in the data directory; an operator may edit it (rotate keys) as any other.
pub const FILE_NAME: &str = "encryption-config.yaml";

/// The configuration file of a data directory, made at the first start (mode 0600): Secrets under secretbox with a
/// random key, and plain ones that are there already are read. Whoever comes first wins; a file is never overwritten.
pub fn default_configuration(
    data_directory: &Path,
) -> Result<(PathBuf, EncryptionConfiguration), ConfigError> {
    let path = data_directory.join(FILE_NAME);
    match std::fs::symlink_metadata(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => create(&path)?,
        Err(source) => return Err(ConfigError::Read { path, source }),
    }
    let configuration = EncryptionConfiguration::load(&path)?;
    Ok((path, configuration))
}

fn create(path: &Path) -> Result<(), ConfigError> {
    let text = serialized(&with_new_key()?);
    write_new(path, text.as_bytes()).map_err(|source| ConfigError::Write { path: path.into(), source })
}

fn with_new_key() -> Result<EncryptionConfiguration, ConfigError> {
    let mut raw = [0; 32];
    SystemRandom::new().fill(&mut raw).map_err(|_| ConfigError::Random)?;
    let keys = vec![Key { name: "key1".into(), secret: STANDARD.encode(raw) }];
    let secretbox =
        ProviderConfiguration { secretbox: Some(AesConfiguration { keys }), ..Default::default() };
    let identity = ProviderConfiguration { identity: Some(Identity {}), ..Default::default() };
    Ok(EncryptionConfiguration::new(vec![ResourceConfiguration {
        resources: vec!["secrets".into()],
        providers: vec![secretbox, identity],
    }]))
}

fn serialized(configuration: &EncryptionConfiguration) -> String {
    let tree = serde_json::to_value(configuration).expect("a tree of strings");
    String::from_utf8(oarlock_api::codec::yaml::print(&tree)).expect("YAML is text")
}

/// Writes a file whole, durable before it has its name, and never over another.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.tmp", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    })();
    // The draft has served, or is worth nothing.
    let _ = std::fs::remove_file(&draft);
    written?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_start_makes_a_key_and_the_next_finds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, first) = default_configuration(directory.path()).expect("made");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(first.resources[0].resources, ["secrets"]);
        let (_, second) = default_configuration(directory.path()).expect("found");
        assert_eq!(first, second);
        let other = tempfile::tempdir().expect("a directory");
        assert_ne!(default_configuration(other.path()).expect("made").1, first, "keys are random");
        let names: Vec<_> = std::fs::read_dir(directory.path()).expect("list").flatten().collect();
        assert_eq!(names.len(), 1, "no draft is left");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, "").expect("write");
        assert!(matches!(default_configuration(directory.path()), Err(ConfigError::Empty { .. })));
        assert_eq!(std::fs::read(&path).expect("it is there"), b"");
    }
}
