//! What the client accepts: a format, and a shape (the object, a table of it, its metadata alone).

use http::HeaderMap;
use http::header::ACCEPT;
use oarlock_api::Status;

use crate::decode::Format;
use crate::request_info::Query;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Table,
    /// The metadata of an object.
    Partial,
    /// The metadata of a list's objects.
    PartialList,
}

/// What `includeObject` puts into the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowObject {
    None,
    Metadata,
    Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) format: Format,
    pub(crate) shape: Shape,
    pub(crate) pretty: bool,
    pub(crate) rows: RowObject,
    pub(crate) gzip: bool,
    /// Of tables and metadata: `meta.k8s.io/v1beta1`.
    pub(crate) beta: bool,
}

impl Accepted {
    /// Plain JSON: for errors that come before anything was negotiated.
    pub(crate) const JSON: Self = Self {
        format: Format::Json,
        shape: Shape::Object,
        pretty: false,
        rows: RowObject::Metadata,
        gzip: false,
        beta: false,
    };

    pub(crate) fn is_plain_json(&self) -> bool {
        self.format == Format::Json && self.shape == Shape::Object && !self.pretty
    }
}

/// What there is to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The object alone.
    Plain,
    /// Tables and metadata, too.
    All,
    /// The same of collections, which can be watched.
    Collection,
    /// The same for objects that have no protobuf message.
    WithoutProtobuf,
}

/// [`negotiate_of`] where `shapes` says whether tables and metadata can be had.
pub(crate) fn negotiate(headers: &HeaderMap, query: &Query, shapes: bool) -> Result<Accepted, Status> {
    negotiate_of(headers, query, if shapes { Offer::All } else { Offer::Plain })
}

/// The best of what the client accepts and we have; 406 where there is none.
pub(crate) fn negotiate_of(headers: &HeaderMap, query: &Query, offer: Offer) -> Result<Accepted, Status> {
    let header = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let header: Vec<&str> = header.collect();
    let pretty = query.flag("pretty");
    let rows = match query.get("includeObject") {
        Some("None") => RowObject::None,
        Some("Object") => RowObject::Object,
        _ => RowObject::Metadata,
    };
    let gzip =
        headers.get_all(http::header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(
            |value| value.split(',').any(|part| part.split(';').next().unwrap_or_default().trim() == "gzip"),
        );
    let accepted = |format, shape, beta| Accepted { format, shape, pretty, rows, gzip, beta };
    if header.iter().all(|value| value.trim().is_empty()) {
        return Ok(accepted(Format::Json, Shape::Object, false));
    }
    let clauses = by_quality(&header);
    if let Some(streams) = routed(offer)
        && !clauses.iter().any(|clause| is_known(clause))
    {
        return Err(Status::not_routed(&format!("{MEDIA_TYPES}{streams}")));
    }
    for clause in clauses {
        let Some((format, shape, beta)) = read_clause(clause, offer != Offer::Plain) else { continue };
        if (offer, format, shape) != (Offer::WithoutProtobuf, Format::Protobuf, Shape::Object) {
            if shape == Shape::Table {
                check_rows(query)?;
            }
            return Ok(accepted(format, shape, beta));
        }
    }
    if offer == Offer::WithoutProtobuf {
        return Err(Status::not_acceptable(
            "only the following media types are accepted: application/json, application/yaml",
        ));
    }
    Err(Status::not_acceptable(format!("only the following media types are accepted: {MEDIA_TYPES}")))
}

const MEDIA_TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// What upstream's router, which stands before everything that is built in, offers besides.
fn routed(offer: Offer) -> Option<&'static str> {
    match offer {
        Offer::All => Some(""),
        Offer::Collection => {
            Some(", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch")
        }
        Offer::Plain | Offer::WithoutProtobuf => None,
    }
}

/// The router knows no partial wildcards.
fn is_known(clause: &str) -> bool {
    let media_type = clause.split(';').next().unwrap_or_default().trim();
    media_type == "*/*" || (media_type != "application/*" && Format::of_media_type(media_type).is_some())
}

fn check_rows(query: &Query) -> Result<(), Status> {
    match query.get("includeObject") {
        None | Some("" | "None" | "Metadata" | "Object") => Ok(()),
        Some(other) => Err(Status::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', \
             'Object', 'None', or empty"
        ))),
    }
}

/// The clauses of an Accept header, best first.
pub(crate) fn by_quality<'a>(header: &[&'a str]) -> Vec<&'a str> {
    let mut clauses: Vec<&str> = header.iter().flat_map(|value| value.split(',')).collect();
    clauses.sort_by_key(|clause| std::cmp::Reverse(quality(clause)));
    clauses
}

/// `q` in thousandths.
fn quality(clause: &str) -> u32 {
    let q =
        clause.split(';').find_map(|part| part.trim().strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok());
    // Qualities lie between 0 and 1.
    q.map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32)
}

fn read_clause(clause: &str, shapes: bool) -> Option<(Format, Shape, bool)> {
    let mut parts = clause.split(';').map(str::trim);
    let media_type = parts.next()?;
    let format = match media_type {
        "*/*" | "application/*" => Format::Json,
        other => Format::of_media_type(other)?,
    };
    let (mut kind, mut group, mut version) = (None, None, None);
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => kind = Some(value),
            Some(("g", value)) => group = Some(value),
            Some(("v", value)) => version = Some(value),
            _ => {}
        }
    }
    let Some(kind) = kind else { return Some((format, Shape::Object, false)) };
    if !shapes || group != Some("meta.k8s.io") || !matches!(version, Some("v1" | "v1beta1")) {
        return None;
    }
    let shape = match kind {
        "Table" if format != Format::Protobuf => Shape::Table,
        "PartialObjectMetadata" => Shape::Partial,
        "PartialObjectMetadataList" => Shape::PartialList,
        _ => return None,
    };
    Some((format, shape, version == Some("v1beta1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, want: Option<(Format, Shape)>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().expect("a header value"));
        let got = negotiate(&headers, &Query::default(), true).ok().map(|a| (a.format, a.shape));
        assert_eq!(got, want, "{accept}");
    }

    #[test]
    fn the_best_clause_wins() {
        check("", Some((Format::Json, Shape::Object)));
        check("*/*", Some((Format::Json, Shape::Object)));
        check(
            "application/vnd.kubernetes.protobuf,application/json",
            Some((Format::Protobuf, Shape::Object)),
        );
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some((Format::Json, Shape::Table)),
        );
        check("application/json;q=0.1,application/yaml", Some((Format::Yaml, Shape::Object)));
        check("application/json;as=Other;v=v1;g=x,application/json", Some((Format::Json, Shape::Object)));
        check("text/csv", None);
    }
}
