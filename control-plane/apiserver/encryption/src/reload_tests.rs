use oarlock_api::GroupResource;
use oarlock_base::Tasks;

use super::*;
use crate::{Layout, default_configuration};

/// Waits for the counter that the follower moves; nothing sleeps but the follower's own settling.
async fn reloads(encryption: &Encryption, status: &str, at_least: u64) {
    let seen = || encryption.metrics().reloads(status);
    let waiting = async {
        while seen() < at_least {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.expect("the file is taken over");
}

#[tokio::test]
async fn a_changed_file_is_taken_over_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, configuration) = default_configuration(directory.path()).expect("made");
    let layout = Layout::new([(GroupResource::new("", "secrets"), "/registry/secrets/")]);
    let encryption = Encryption::new(&configuration, layout).expect("valid");
    let root = Shutdown::new();
    let mut tasks = Tasks::new("test", &root);
    let reload = Reload::new(encryption.clone(), path.clone()).expect("it watches");
    tasks.spawn("reload", move |stop| reload.run(stop));

    let plain = bytes::Bytes::from_static(b"plain");
    let stale = async || encryption.open(b"/registry/secrets/a/b", &plain).await.expect("identity reads").1;
    assert!(stale().await, "secretbox writes");
    std::fs::write(&path, "broken").expect("write");
    reloads(&encryption, "failure", 1).await;
    assert!(stale().await, "a broken file changes nothing");
    let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: \
                [secrets], providers: [{identity: {}}]}]";
    let draft = directory.path().join("draft");
    std::fs::write(&draft, text).expect("write");
    std::fs::rename(&draft, &path).expect("rename");
    reloads(&encryption, "success", 1).await;
    assert!(!stale().await, "identity writes now");
    root.trigger();
    tasks.join().await.expect("it ends well");
}
