//! Files that change all at once: a new directory `..<time>`, then `..data` points to it, as upstream's atomic writer lays
//! them out. A reader sees the old files or the new ones, never a mixture.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use super::SetUpError;

/// One file: its content, its mode and who owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
    pub(super) owner: Option<u32>,
}

/// Files by their path within the volume.
pub(super) type Files = BTreeMap<String, File>;

const DATA: &str = "..data";

/// Makes the volume at `dir` hold exactly these files; nothing is written where it does already.
pub(super) async fn write(dir: PathBuf, files: Files, group: Option<i64>) -> Result<(), SetUpError> {
    let at = dir.clone();
    let written = tokio::task::spawn_blocking(move || write_now(&dir, &files, group)).await;
    match written {
        Ok(result) => result.map_err(SetUpError::io(&at)),
        Err(error) => Err(SetUpError::Io { path: at, source: io::Error::other(error) }),
    }
}

fn write_now(dir: &Path, files: &Files, group: Option<i64>) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777))?;
    let data = dir.join(DATA);
    let old = std::fs::read_link(&data).ok();
    if let Some(old) = &old
        && holds(&dir.join(old), files)?
    {
        return Ok(());
    }
    let now = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    let name = format!("{now}.{:010}", rand::random::<u32>());
    let new = dir.join(&name);
    std::fs::create_dir(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        write_file(&new, path, file, group)?;
    }
    let next = dir.join("..data_tmp");
    remove(&next)?;
    symlink(&name, &next)?;
    std::fs::rename(&next, &data)?;
    link_names(dir, files)?;
    if let Some(old) = old {
        std::fs::remove_dir_all(dir.join(old))?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a directory holds these files and no others.
fn holds(dir: &Path, files: &Files) -> io::Result<bool> {
    let mut found = 0;
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
                continue;
            }
            found += 1;
            let path = entry.path();
            let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
            let Some(file) = files.get(&name) else { return Ok(false) };
            let mode = entry.metadata()?.permissions().mode() & 0o7777;
            // A group's files are wider than asked for, never narrower.
            if mode & file.mode != file.mode || std::fs::read(&path)? != file.content {
                return Ok(false);
            }
        }
    }
    Ok(found == files.len())
}

fn write_file(dir: &Path, path: &str, file: &File, group: Option<i64>) -> io::Result<()> {
    let path = dir.join(path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, &file.content)?;
    let gid = group.and_then(|gid| u32::try_from(gid).ok());
    // Its group may read what its owner may read.
    let mode = if gid.is_some() { file.mode | (file.mode & 0o400) >> 3 } else { file.mode };
    if file.owner.is_some() || gid.is_some() {
        chown(&path, file.owner, gid)?;
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
}

/// Each first part of a path is a link into `..data`; links to what is gone go.
fn link_names(dir: &Path, files: &Files) -> io::Result<()> {
    let wanted: std::collections::BTreeSet<&str> =
        files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        let link = dir.join(name);
        if std::fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        let file = |content: &str| File { content: content.into(), mode: 0o644, owner: None };
        list.iter().map(|(path, content)| ((*path).to_owned(), file(content))).collect()
    }

    #[tokio::test]
    async fn files_change_together_and_old_names_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let volume = dir.path().join("v");
        write(volume.clone(), files(&[("a", "1"), ("b/c", "2")]), None).await.expect("written");
        let first = std::fs::read_link(volume.join(DATA)).expect("a link");
        assert_eq!(std::fs::read_to_string(volume.join("b/c")).expect("read"), "2");
        assert_eq!(std::fs::read_link(volume.join("a")).expect("a link"), Path::new("..data/a"));

        write(volume.clone(), files(&[("a", "1"), ("b/c", "2")]), None).await.expect("written");
        assert_eq!(std::fs::read_link(volume.join(DATA)).expect("a link"), first, "nothing changed");

        write(volume.clone(), files(&[("a", "3")]), None).await.expect("written");
        assert_eq!(std::fs::read_to_string(volume.join("a")).expect("read"), "3");
        let mut names: Vec<String> = std::fs::read_dir(&volume)
            .expect("read")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with("..2"))
            .collect();
        names.sort();
        assert_eq!(names, ["..data", "a"]);
    }
}
