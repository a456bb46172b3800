//! LIST: a page of a snapshot, or of a past revision of the store where a continue token asks for one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use http::{Response, StatusCode};
use oarlock_api::selector::{FieldRequirement, FieldSelector, LabelSelector};
use oarlock_api::{FieldError, GroupKind, Path, Status};
use oarlock_store::{ListOptions, Revision, StoreError};
use serde::{Deserialize, Serialize};

use super::Call;
use super::get::{not_older_than, parse_revision};
use crate::body::Body;
use crate::cache::{Entry, Filter, Unreadable};
use crate::decode::internal_package;
use crate::encode::{self, Accepted, ListMeta};
use crate::registry::{Stored, key_of, store_failed};

/// Upstream's continue token: version, revision (negative: whatever is newest), and the key to go on after.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: i64,
    start: String,
}

/// As Go reads base 64: what the last digit says too much is not looked at.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

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
    let (filter, late) = by_version(call, filter(call)?);
    let asked = call.query.number("limit").filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok());
    let (source, after) = source(call, asked).await?;
    // What is selected after conversion is counted after it.
    let limit = asked.filter(|_| late.is_none());
    let after = after.as_deref().map(|start| split_start(call, start));
    let mut page = match source {
        Source::Snapshot => {
            let direct = asked.is_some() && filter.selects_everything();
            let checked = check_readable(call, &filter).await;
            checked
                .map_err(|fault| if direct { Status::internal(fault) } else { not_ready(call, &fault) })?;
            snapshot_page(call, &filter, limit, after.as_ref())
        }
        Source::Past(revision) => match past_page(call, &filter, limit, after.as_ref(), revision).await {
            Err(StoreError::Compacted { .. }) if after.is_some() => {
                return Ok(too_old_to_continue(call, &accepted, after.as_ref()));
            }
            other => other.map_err(past_failed)?,
        },
    };
    let mut items = call.in_version(std::mem::take(&mut page.items)).await?;
    if let Some(late) = &late {
        items.retain(|entry| late.matches(entry));
        page.more = asked.filter(|limit| items.len() > *limit).map(|_| None);
        items.truncate(asked.unwrap_or(usize::MAX));
    }
    let next = match (&page.more, items.last()) {
        (Some(_), Some(last)) => {
            let revision = i64::try_from(page.revision).expect("revisions count writes");
            token(call, revision, (&last.namespace, &last.name))
        }
        _ => String::new(),
    };
    let meta = ListMeta { revision: page.revision.to_string(), next, remaining: page.more.flatten() };
    Ok(encode::list(&accepted, call.served, &meta, items))
}

/// A filter for the cache, and one for after conversion: fields that a definition names are known in their version alone.
pub(super) fn by_version(call: &Call<'_>, filter: Filter) -> (Filter, Option<Filter>) {
    let general = |field: &str| matches!(field, "metadata.name" | "metadata.namespace");
    let foreign = call.served.custom.as_ref().is_some_and(|custom| !custom.version.storage);
    if !foreign || filter.fields.requirements().iter().all(|requirement| general(&requirement.field)) {
        return (filter, None);
    }
    (Filter { fields: Arc::default(), ..filter.clone() }, Some(filter))
}

/// Numbers of the options that are none.
fn check_numbers(call: &Call<'_>) -> Result<(), Status> {
    for name in ["timeoutSeconds", "limit"] {
        if let Some(text) = call.query.get(name)
            && text.parse::<i64>().is_err()
        {
            let why = format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
            return Err(Status::bad_request(why));
        }
    }
    Ok(())
}

/// The selectors of a request.
pub(super) fn filter(call: &Call<'_>) -> Result<Filter, Status> {
    check_numbers(call)?;
    let labels = match call.query.get("labelSelector").filter(|text| !text.is_empty()) {
        None => LabelSelector::everything(),
        Some(text) => LabelSelector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    let fields = match call.query.get("fieldSelector").filter(|text| !text.is_empty()) {
        None => FieldSelector::everything(),
        Some(text) => FieldSelector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    let said =
        |requirement: &&FieldRequirement| !requirement.field.is_empty() || !requirement.value.is_empty();
    let fields = fields.requirements().iter().filter(said).cloned().collect();
    let fields = FieldSelector::from_requirements(fields);
    for requirement in fields.requirements() {
        check_field(call, &requirement.field)?;
    }
    let fields = narrowed_to_name(call, stored_fields(call, fields))?;
    // A selector on metadata.namespace is as good as a path.
    let namespace = match (call.namespace(), fields.required("metadata.namespace")) {
        ("", Some(namespace)) if call.served.api.namespaced => namespace.to_string(),
        (namespace, _) => namespace.to_string(),
    };
    Ok(Filter { namespace, labels: Arc::new(labels), fields: Arc::new(fields) })
}

/// The cache knows fields by the names of the stored version.
fn stored_fields(call: &Call<'_>, fields: FieldSelector) -> FieldSelector {
    let Some(conversion) = call.served.conversion else { return fields };
    let renamed = fields.requirements().iter().map(|requirement| FieldRequirement {
        field: conversion.stored_field(&requirement.field).to_string(),
        ..requirement.clone()
    });
    FieldSelector::from_requirements(renamed.collect())
}

fn check_field(call: &Call<'_>, field: &str) -> Result<(), Status> {
    let api = &call.served.api;
    if ["metadata.name", "metadata.namespace"].contains(&field) || api.field_selectors.contains(&field) {
        return Ok(());
    }
    Err(Status::bad_request(match (api.group, api.plural) {
        ("batch", "jobs") => format!("field label {field:?} not supported for Job"),
        ("resource.k8s.io", "resourceslices") => {
            format!("field label not supported for {}: {field}", call.served.gvk)
        }
        _ if api.field_selectors.is_empty() => {
            format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
        _ => format!("field label not supported: {field}"),
    }))
}

/// A name, of the path (`/watch/…/name`) or of the selector itself, admits no other selection by name.
fn narrowed_to_name(call: &Call<'_>, fields: FieldSelector) -> Result<FieldSelector, Status> {
    let name = call.info.name.as_str();
    if name.is_empty() {
        return Ok(fields);
    }
    if fields.is_everything() {
        return Ok(FieldSelector::equals("metadata.name", name));
    }
    if fields.required("metadata.name") == Some(name) {
        return Ok(fields);
    }
    Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"))
}

/// Reads resourceVersion, resourceVersionMatch and continue: which state, and from where in it.
async fn source(call: &Call<'_>, limit: Option<usize>) -> Result<(Source, Option<String>), Status> {
    let revision = call.query.get("resourceVersion").unwrap_or_default();
    let matching = call.query.get("resourceVersionMatch").unwrap_or_default();
    check_match(call, revision, matching)?;
    if let Some(text) = call.query.get("continue").filter(|text| !text.is_empty()) {
        let (at, start) = continued(text)?;
        if !revision.is_empty() && revision != "0" {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let revision = at;
        let Ok(revision) = u64::try_from(revision) else {
            call.server.cache.fresh().await.map_err(store_failed)?;
            return Ok((Source::Snapshot, Some(start)));
        };
        return Ok((Source::Past(revision), Some(start)));
    }
    if revision.is_empty() {
        call.server.cache.fresh().await.map_err(store_failed)?;
        return Ok((Source::Snapshot, None));
    }
    let wanted = parse_revision(revision)
        .map_err(|status| Status::bad_request(format!("invalid resource version: {}", status.message)))?;
    if wanted == 0 && matching != "Exact" {
        return Ok((Source::Snapshot, None));
    }
    if matching == "Exact" || (matching.is_empty() && limit.is_some()) {
        return Ok((Source::Past(wanted), None));
    }
    not_older_than(call, wanted).await?;
    Ok((Source::Snapshot, None))
}

fn continued(text: &str) -> Result<(i64, String), Status> {
    let bad = |why: String| {
        Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
    };
    let bytes = LENIENT.decode(text.trim_end_matches('=')).map_err(|error| {
        bad(match error {
            base64::DecodeError::InvalidByte(at, _) => format!("illegal base64 data at input byte {at}"),
            _ => format!("illegal base64 data at input byte {}", text.len()),
        })
    })?;
    let token = oarlock_api::codec::json::parse(&bytes).map_err(|error| bad(error.to_string()))?;
    let token: Continue = serde_json::from_value(token).map_err(|error| bad(error.to_string()))?;
    if token.v != TOKEN_VERSION {
        return Err(bad(format!("server does not recognize this encoded version {:?}", token.v)));
    }
    if token.rv == 0 {
        return Err(bad(format!("incorrect encoded start resourceVersion (version {TOKEN_VERSION})")));
    }
    if token.start.is_empty() {
        return Err(bad(format!("encoded start key empty (version {TOKEN_VERSION})")));
    }
    Ok((token.rv, token.start))
}

fn check_match(call: &Call<'_>, revision: &str, matching: &str) -> Result<(), Status> {
    let path = || Path::new("resourceVersionMatch");
    let mut errors = Vec::new();
    if !matching.is_empty() {
        if revision.is_empty() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden(path(), detail));
        }
        if call.query.get("continue").is_some_and(|text| !text.is_empty()) {
            let detail = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(path(), detail));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported(path(), matching, &["Exact", "NotOlderThan", ""]));
        }
        if (matching, revision) == ("Exact", "0") {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(path(), detail));
        }
    }
    if call.query.get("sendInitialEvents").is_some() {
        let detail = "sendInitialEvents is forbidden for list";
        errors.push(FieldError::forbidden(Path::new("sendInitialEvents"), detail));
    }
    refuse(&errors)
}

/// What is wrong with ListOptions.
pub(super) fn refuse(errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", errors))
}

/// A token's start as a place: the rest of a key after that of the collection, and the byte that follows it first.
fn split_start(call: &Call<'_>, start: &str) -> (String, String) {
    let start = start.trim_start_matches('/').trim_end_matches('\0');
    match start.split_once('/') {
        Some((namespace, name)) if call.served.api.namespaced => (namespace.into(), name.into()),
        _ => (call.namespace().into(), start.into()),
    }
}

fn token(call: &Call<'_>, revision: i64, (namespace, name): (&str, &str)) -> String {
    let across = call.served.api.namespaced && call.namespace().is_empty();
    let start = if across { format!("/{namespace}/{name}\0") } else { format!("/{name}\0") };
    let token = Continue { v: TOKEN_VERSION.into(), rv: revision, start };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("strings and a number always serialise"))
}

fn snapshot_page(
    call: &Call<'_>,
    filter: &Filter,
    limit: Option<usize>,
    after: Option<&(String, String)>,
) -> Page {
    let Stored { cache: cached, .. } = call.served.stored.as_ref().expect("only stored resources are listed");
    // The revision first: the snapshot is then at least as new.
    let revision = call.server.cache.revision();
    let snapshot = cached.snapshot();
    let all = limit.unwrap_or(usize::MAX);
    let after = after.map(|(namespace, name)| (namespace.as_str(), name.as_str()));
    let mut matching = snapshot.iter(&filter.namespace, after).filter(|entry| filter.selects(entry));
    let (mut items, mut newest) = (Vec::new(), 0);
    // Each entry is touched once: they are cold, and there are many.
    items.extend(matching.by_ref().take(all).inspect(|entry| newest = entry.revision.max(newest)).cloned());
    // Counted one by one only where nothing else tells.
    let more = match (filter.selects_everything(), after) {
        (false, _) => matching.next().map(|_| None),
        (true, None) => {
            Some(snapshot.len_in(&filter.namespace) - items.len()).filter(|left| *left > 0).map(Some)
        }
        (true, Some(_)) => Some(matching.count()).filter(|left| *left > 0).map(Some),
    };
    Page { items, revision: revision.max(newest), more }
}

/// Who acts on a list must not take for gone what cannot be read.
pub(super) async fn check_readable(call: &Call<'_>, filter: &Filter) -> Result<(), Unreadable> {
    let Stored { storage, cache } = call.served.stored.as_ref().expect("only stored resources are listed");
    let mut prefix = storage.prefix.clone();
    if !filter.namespace.is_empty() {
        prefix = format!("{prefix}{}/", filter.namespace);
    }
    match cache.unreadable(&prefix) {
        None => Ok(()),
        Some(_) => call.server.cache.look_again(cache, &prefix).await,
    }
}

/// What upstream answers while its cache cannot be filled, which pages of everything go round. The longer it lasts, the longer
/// clients are asked to wait.
pub(super) fn not_ready(call: &Call<'_>, fault: &Unreadable) -> Status {
    let api = &call.served.api;
    let listed = match &call.served.custom {
        Some(_) => "*unstructured.Unstructured".to_string(),
        None => format!("*{}.{}", internal_package(api.group), api.kind),
    };
    let message = format!("storage is (re)initializing: failed to list {listed}: {fault}");
    Status::too_many_requests(message, retry_after(fault.since.elapsed()))
}

const WAIT_MAX: u32 = 30;

/// Seconds that grow with how long it has lasted.
fn retry_after(lasted: Duration) -> u32 {
    let grown = (0.06 * lasted.as_secs_f64()).exp();
    (1..=WAIT_MAX).rev().find(|seconds| f64::from(*seconds) <= grown).unwrap_or(1)
}

/// How many keys are read from the store at once while a selector filters them.
const STORE_PAGE: usize = 500;

async fn past_page(
    call: &Call<'_>,
    filter: &Filter,
    limit: Option<usize>,
    after: Option<&(String, String)>,
    revision: u64,
) -> Result<Page, StoreError> {
    let Stored { storage, .. } = call.served.stored.as_ref().expect("only stored resources are listed");
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
        let listing = call.server.registry.store.list(&prefix, options).await?;
        let read = listing.items.len();
        for (index, kv) in listing.items.iter().enumerate() {
            after = Some(kv.key.clone());
            let entry = Entry::read(storage, kv, kv.mod_revision.0).map_err(|fault| StoreError::Backend {
                tried: "read a stored object",
                source: Box::new(fault),
            })?;
            if filter.matches(&entry) {
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

fn past_failed(error: StoreError) -> Status {
    match error {
        StoreError::Future { asked, newest } => {
            let told = format!("Too large resource version: {asked}, current: {newest}");
            Status::timeout(told, 1).with_cause("ResourceVersionTooLarge", "Too large resource version", "")
        }
        StoreError::Compacted { .. } => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        other => store_failed(other),
    }
}

/// 410, with a token that goes on from the same place in the newest state.
fn too_old_to_continue(
    call: &Call<'_>,
    accepted: &Accepted,
    after: Option<&(String, String)>,
) -> Response<Body> {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .to_value();
    if let Some((namespace, name)) = after {
        status["metadata"]["continue"] = token(call, -1, (namespace, name)).into();
    }
    let accepted = Accepted { shape: encode::Shape::Object, ..*accepted };
    encode::object(&accepted, StatusCode::GONE, &status)
}
