//! LIST: a page of a snapshot, or of a past revision of the store where a continue token asks for one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use oarlock_api::selector::{FieldSelector, LabelSelector};
use oarlock_api::{FieldError, GroupKind, Path, Status};
use oarlock_store::{ListOptions, Revision};
use serde::{Deserialize, Serialize};

use super::Call;
use super::get::{not_older_than, parse_revision};
use crate::body::Body;
use crate::cache::{Entry, Filter};
use crate::encode::{self, ListMeta};
use crate::registry::{key_of, store_failed};

/// Upstream's continue token: version, revision, and the key to go on after.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: u64,
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// Where the objects of a page come from.
enum Source {
    Snapshot,
    /// The store as it was.
    Past(u64),
}

struct Page {
    items: Vec<Arc<Entry>>,
    revision: u64,
    /// There are more; how many, where nothing was filtered out.
    more: Option<Option<usize>>,
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let accepted = call.accepted()?;
    let filter = filter(call)?;
    let limit = call.query.number("limit").filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok());
    let (source, after) = source(call, limit).await?;
    let after = after.as_deref().map(|start| split_start(call, start));
    let page = match source {
        Source::Snapshot => snapshot_page(call, &filter, limit, after.as_ref()),
        Source::Past(revision) => past_page(call, &filter, limit, after.as_ref(), revision).await?,
    };
    let next = match (&page.more, page.items.last()) {
        (Some(_), Some(last)) => token(call, page.revision, last),
        _ => String::new(),
    };
    let meta = ListMeta { revision: page.revision.to_string(), next, remaining: page.more.flatten() };
    Ok(encode::list(&accepted, call.served, &meta, page.items))
}

/// The selectors of a request.
pub(super) fn filter(call: &Call<'_>) -> Result<Filter, Status> {
    let labels = match call.query.get("labelSelector").filter(|text| !text.is_empty()) {
        None => LabelSelector::everything(),
        Some(text) => LabelSelector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    let fields = match call.query.get("fieldSelector").filter(|text| !text.is_empty()) {
        None => FieldSelector::everything(),
        Some(text) => FieldSelector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    for requirement in fields.requirements() {
        let known = ["metadata.name", "metadata.namespace"].contains(&requirement.field.as_str())
            || call.served.api.field_selectors.contains(&requirement.field.as_str());
        if !known {
            return Err(Status::bad_request(format!("field label not supported: {}", requirement.field)));
        }
    }
    // A selector on metadata.namespace is as good as a path.
    let namespace = match (call.namespace(), fields.required("metadata.namespace")) {
        ("", Some(namespace)) if call.served.api.namespaced => namespace.to_string(),
        (namespace, _) => namespace.to_string(),
    };
    Ok(Filter { namespace, labels: Arc::new(labels), fields: Arc::new(fields) })
}

/// Reads resourceVersion, resourceVersionMatch and continue: which state, and from where in it.
async fn source(call: &Call<'_>, limit: Option<usize>) -> Result<(Source, Option<String>), Status> {
    let revision = call.query.get("resourceVersion").unwrap_or_default();
    let matching = call.query.get("resourceVersionMatch").unwrap_or_default();
    check_match(call, revision, matching)?;
    if let Some(text) = call.query.get("continue").filter(|text| !text.is_empty()) {
        if !revision.is_empty() && revision != "0" {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return continued(text);
    }
    if revision.is_empty() {
        call.server.cache.fresh().await.map_err(store_failed)?;
        return Ok((Source::Snapshot, None));
    }
    let wanted = parse_revision(call, revision)?;
    if wanted == 0 && matching != "Exact" {
        return Ok((Source::Snapshot, None));
    }
    if matching == "Exact" || (matching.is_empty() && limit.is_some()) {
        return Ok((Source::Past(wanted), None));
    }
    not_older_than(call, wanted).await?;
    Ok((Source::Snapshot, None))
}

fn continued(text: &str) -> Result<(Source, Option<String>), Status> {
    let read = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let token = read.and_then(|bytes| serde_json::from_slice::<Continue>(&bytes).ok());
    let token =
        token.filter(|token| token.v == TOKEN_VERSION && !token.start.is_empty()).ok_or_else(|| {
            Status::bad_request(
                "continue key is not valid: the server does not recognize this continue token",
            )
        })?;
    Ok((Source::Past(token.rv), Some(token.start)))
}

fn check_match(call: &Call<'_>, revision: &str, matching: &str) -> Result<(), Status> {
    let invalid = |detail: &str| {
        let error = FieldError::forbidden(Path::new("resourceVersionMatch"), detail);
        Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &[error]))
    };
    if matching.is_empty() {
        return Ok(());
    }
    if revision.is_empty() {
        return invalid("resourceVersionMatch is forbidden unless resourceVersion is provided");
    }
    if call.query.get("continue").is_some_and(|text| !text.is_empty()) {
        return invalid("resourceVersionMatch is forbidden when continue is provided");
    }
    match matching {
        "Exact" if revision == "0" => {
            invalid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
        }
        "Exact" | "NotOlderThan" => Ok(()),
        other => {
            let error = FieldError::not_supported(
                Path::new("resourceVersionMatch"),
                other,
                &["Exact", "NotOlderThan"],
            );
            Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &[error]))
        }
    }
}

/// A token's start (`namespace/name`, or `name`) as a place.
fn split_start(call: &Call<'_>, start: &str) -> (String, String) {
    match start.split_once('/') {
        Some((namespace, name)) if call.served.api.namespaced => (namespace.into(), name.into()),
        _ => (call.namespace().into(), start.into()),
    }
}

fn token(call: &Call<'_>, revision: u64, last: &Entry) -> String {
    let start = if call.served.api.namespaced {
        format!("{}/{}", last.namespace, last.name)
    } else {
        last.name.to_string()
    };
    let token = Continue { v: TOKEN_VERSION.into(), rv: revision, start };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("strings and a number always serialise"))
}

fn snapshot_page(
    call: &Call<'_>,
    filter: &Filter,
    limit: Option<usize>,
    after: Option<&(String, String)>,
) -> Page {
    let (index, _) = call.served.stored.as_ref().expect("only stored resources are listed");
    let cached = &call.server.cache.resources()[*index];
    // The revision first: the snapshot is then at least as new.
    let revision = call.server.cache.revision();
    let snapshot = cached.snapshot();
    let all = limit.unwrap_or(usize::MAX);
    let after = after.map(|(namespace, name)| (namespace.as_str(), name.as_str()));
    let mut matching = snapshot.iter(&filter.namespace, after).filter(|entry| filter.matches(entry));
    let mut items = Vec::new();
    items.extend(matching.by_ref().take(all).cloned());
    let left = matching.count();
    let more = (left > 0).then(|| filter.selects_everything().then_some(left));
    let newest = items.iter().map(|entry| entry.revision).max().unwrap_or(0);
    Page { items, revision: revision.max(newest), more }
}

/// How many keys are read from the store at once while a selector filters them.
const STORE_PAGE: usize = 500;

async fn past_page(
    call: &Call<'_>,
    filter: &Filter,
    limit: Option<usize>,
    after: Option<&(String, String)>,
    revision: u64,
) -> Result<Page, Status> {
    let (_, storage) = call.served.stored.as_ref().expect("only stored resources are listed");
    let mut prefix = key_of(&storage.prefix, &filter.namespace, "");
    if filter.namespace.is_empty() {
        prefix = storage.prefix.clone().into_bytes();
    }
    let mut after =
        after.map(|(namespace, name)| bytes::Bytes::from(key_of(&storage.prefix, namespace, name)));
    let mut page = Page { items: Vec::new(), revision, more: None };
    loop {
        let wanted = limit.map(|limit| {
            (limit - page.items.len()).max(if filter.selects_everything() { 1 } else { STORE_PAGE })
        });
        let options = ListOptions { after: after.clone(), limit: wanted, at: Some(Revision(revision)) };
        let listing = call
            .server
            .registry
            .store
            .list(&prefix, options)
            .await
            .map_err(|error| past_failed(call, error))?;
        let read = listing.items.len();
        for (index, kv) in listing.items.iter().enumerate() {
            after = Some(kv.key.clone());
            if let Some(entry) =
                Entry::read(storage, kv, kv.mod_revision.0).filter(|entry| filter.matches(entry))
            {
                page.items.push(Arc::new(entry));
            }
            if limit == Some(page.items.len()) {
                let left = listing.remaining + read - index - 1;
                page.more = (left > 0).then(|| filter.selects_everything().then_some(left));
                return Ok(page);
            }
        }
        if listing.remaining == 0 || read == 0 {
            return Ok(page);
        }
    }
}

fn past_failed(call: &Call<'_>, error: oarlock_store::StoreError) -> Status {
    match error {
        oarlock_store::StoreError::Future { asked, newest } => Status::timeout(
            format!("Too large resource version: {asked}, current: {newest}"),
            1,
        )
        .with_cause("ResourceVersionTooLarge", "Too large resource version", ""),
        oarlock_store::StoreError::Compacted { asked, oldest } if call.query.get("continue").is_none() => {
            Status::expired(format!(
                "The resourceVersion for the provided list is too old. ({asked} < {oldest})"
            ))
        }
        other => store_failed(other),
    }
}
