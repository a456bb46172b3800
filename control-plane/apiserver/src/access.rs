//! Who asks, and who may do what: what is configured, and what the server itself knows of its authorities and issuers.

use std::path::PathBuf;
use std::sync::Arc;

use oarlock_apiserver_access::authentication::{
    AuthenticationParts, KeyError, ReloadableAuthentication, ServiceAccountTokens, SigningKey, VerifyingKey,
};
use oarlock_apiserver_access::authorization::{
    AuthorizationParts, NodeAuthorizer, Rbac, ReloadableAuthorization,
};
use oarlock_apiserver_access::token::TokenIssuer;
use oarlock_apiserver_access::{Authorizer, Objects};
use oarlock_apiserver_webhook::Clients;
use oarlock_base::Tasks;

use crate::config::{Config, Error};
use crate::follow::Followed;
use crate::legacy_tokens::{self, Uses};

/// Who may do what.
pub(crate) struct Deciders {
    pub(crate) rbac: Arc<Rbac>,
    pub(crate) nodes: Arc<NodeAuthorizer>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
}

impl Deciders {
    pub(crate) fn new(
        config: &Config,
        objects: &Arc<dyn Objects>,
        clients: &Clients,
        tasks: &mut Tasks,
    ) -> Result<Self, Error> {
        let bootstrap = oarlock_api::table::bootstrap_objects();
        let roles = bootstrap.get("clusterroles").and_then(|roles| roles.as_array()).into_iter().flatten();
        let node_role = roles.into_iter().find(|role| role["metadata"]["name"] == "system:node");
        let rules = node_role.and_then(|role| role["rules"].as_array()).map_or(&[][..], Vec::as_slice);
        let rbac = Rbac::new(objects.clone());
        let nodes = NodeAuthorizer::new(objects.clone(), rules);
        let parts = AuthorizationParts { node: nodes.clone(), rbac: rbac.clone(), clients: clients.clone() };
        let authorizer = authorizer(config, parts, tasks)?;
        Ok(Self { rbac, nodes, authorizer })
    }
}

/// With a file it can change; without one nothing stands between.
fn authorizer(
    config: &Config,
    parts: AuthorizationParts,
    tasks: &mut Tasks,
) -> Result<Arc<dyn Authorizer>, Error> {
    let Some(path) = config.running.authorization_file.clone() else {
        return config.authorization.build(&parts).map_err(Error::access);
    };
    let reloadable = ReloadableAuthorization::new(config.authorization.clone(), parts);
    let reloadable = Arc::new(reloadable.map_err(Error::access)?);
    let kept = reloadable.clone();
    follow("authorization-config", path, tasks, move |file| reloadable.reload(file))?;
    Ok(kept)
}

/// Who asks.
pub(crate) fn authentication(
    config: &Config,
    parts: AuthenticationParts,
    tasks: &mut Tasks,
) -> Result<Arc<ReloadableAuthentication>, Error> {
    let mut whole = config.authentication.clone();
    whole.client_ca_pem = config.client_ca_pem.clone();
    whole.service_account_issuers = issuers(config);
    if whole.api_audiences.is_empty() {
        whole.api_audiences = audiences(config);
    }
    whole.request_header = config.request_header();
    let authentication = Arc::new(ReloadableAuthentication::new(whole, parts).map_err(Error::access)?);
    if let Some(path) = config.running.authentication_file.clone() {
        let kept = authentication.clone();
        follow("authentication-config", path, tasks, move |file| kept.reload(file))?;
    }
    Ok(authentication)
}

/// Takes the contents of a file over whenever it changes. A file that is away for a moment is about to be replaced.
fn follow(
    what: &'static str,
    path: PathBuf,
    tasks: &mut Tasks,
    reload: impl Fn(Vec<u8>) -> Result<bool, Vec<String>> + Send + 'static,
) -> Result<(), Error> {
    let followed = Followed::new(what, vec![path.clone()]).map_err(|source| Error::Watch { what, source })?;
    let take = move || match std::fs::read(&path) {
        Ok(file) => reload(file).map_err(|faults| faults.join("; ")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.to_string()),
    };
    tasks.spawn(what, move |stop| followed.run(stop, take));
    Ok(())
}

fn issuers(config: &Config) -> Vec<String> {
    let first = std::iter::once(&config.service_accounts.issuer);
    first.chain(&config.running.further_issuers).cloned().collect()
}

/// What a token must be for; the first issuer where nothing is told.
fn audiences(config: &Config) -> Vec<String> {
    let settings = &config.service_accounts;
    if settings.audiences.is_empty() { vec![settings.issuer.clone()] } else { settings.audiences.clone() }
}

/// Where the keys of service account tokens are published.
pub(crate) fn jwks_uri(config: &Config, port: u16) -> String {
    let own = || format!("https://{}/openid/v1/jwks", std::net::SocketAddr::new(config.advertise, port));
    config.running.jwks_uri.clone().unwrap_or_else(own)
}

/// Tokens of service accounts.
pub(crate) struct Accounts {
    pub(crate) issuer: TokenIssuer,
    pub(crate) checker: Arc<ServiceAccountTokens>,
    pub(crate) keys: Vec<VerifyingKey>,
    /// Uses of tokens that stand in secrets.
    pub(crate) uses: Uses,
}

impl Accounts {
    pub(crate) fn new(config: &Config, objects: &Arc<dyn Objects>) -> Result<Self, Error> {
        let failed = |error: KeyError| Error::Keys(error.to_string());
        let settings = &config.service_accounts;
        let signing = SigningKey::from_pem(&settings.signing_pem).map_err(failed)?;
        let mut keys = vec![signing.verifying_key()];
        for pem in &settings.verification_pem {
            for key in VerifyingKey::all_from_pem(pem).map_err(failed)? {
                if !keys.iter().any(|known| known.id() == key.id()) {
                    keys.push(key);
                }
            }
        }
        let (teller, uses) = legacy_tokens::queue();
        let (audiences, limits) = (audiences(config), &config.running.tokens);
        let checker =
            ServiceAccountTokens::new(issuers(config), audiences.clone(), keys.clone(), objects.clone());
        let issuer = TokenIssuer::new(settings.issuer.clone(), audiences, signing, objects.clone())
            .limited(limits.max_seconds, limits.extends);
        let checker = checker.telling(Arc::new(teller)).looking(config.running.accounts_must_live);
        Ok(Self { issuer, checker: Arc::new(checker), keys, uses })
    }
}
