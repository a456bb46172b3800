//! The certificate that this server shows to those that it proxies to: read again when its files change. The next request
//! that is proxied takes the new one, for each has a connection of its own.

use std::sync::Arc;

use oarlock_base::Tasks;
use oarlock_pki::{Identity, client_config};

use crate::config::{CertificateFiles, Error};
use crate::follow::Followed;
use crate::server::Server;

const WHAT: &str = "proxy-client-certificate";

/// Follows the files among `tasks`.
pub(crate) fn follow(
    files: Option<&CertificateFiles>,
    server: &Arc<Server>,
    tasks: &mut Tasks,
) -> Result<(), Error> {
    let Some(files) = files.cloned() else { return Ok(()) };
    let paths = vec![files.cert.clone(), files.key.clone()];
    let followed = Followed::new(WHAT, paths).map_err(|source| Error::Watch { what: WHAT, source })?;
    let server = server.clone();
    tasks.spawn(WHAT, move |stop| followed.run(stop, move || Ok(server.aggregator.show(read(&files)?))));
    Ok(())
}

/// The identity, if certificate and key are one another's: they are written one after the other.
fn read(files: &CertificateFiles) -> Result<Identity, String> {
    let text = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let identity = Identity { cert_pem: text(&files.cert)?, key_pem: text(&files.key)? };
    client_config("", Some(&identity)).map_err(|error| format!("{}: {error}", files.cert.display()))?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use oarlock_pki::{Authority, Profile};

    use super::*;

    #[test]
    fn only_a_whole_pair_is_taken() {
        oarlock_pki::install_crypto_provider();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        let authority =
            Authority::load_or_create(&path("ca.crt"), &path("ca.key"), "ca").expect("an authority");
        let issue = || authority.issue(&Profile::client("front-proxy-client", "")).expect("an identity");
        let (one, other) = (issue(), issue());
        let files = CertificateFiles { cert: path("p.crt"), key: path("p.key") };
        for (cert, key, want) in [
            (&*one.cert_pem, &*one.key_pem, true),
            (&*other.cert_pem, &*one.key_pem, false),
            (&*other.cert_pem, &*other.key_pem, true),
            ("", &*other.key_pem, false),
            (&*other.cert_pem, "", false),
            ("nonsense", "nonsense", false),
        ] {
            std::fs::write(&files.cert, cert).expect("written");
            std::fs::write(&files.key, key).expect("written");
            assert_eq!(read(&files).is_ok(), want, "{cert:.30} {key:.30}");
        }
        std::fs::remove_file(&files.key).expect("it was there");
        assert!(read(&files).is_err());
    }
}
