//! Who the claims of a verified token say that its holder is: pure.

use serde_json::{Map, Value, json};

use super::config::{ClaimRule, JwtIssuer, Mapping, Rule};
use crate::expressions::{Expression, Over};
use crate::types::User;
use crate::value::texts;

type Claims = Map<String, Value>;

/// As go-oidc's: clocks of issuers may be behind by so much.
const LEEWAY_SECONDS: f64 = 300.0;

/// Time and audience.
pub(super) fn check_standard(claims: &Claims, audiences: &[String], now: i64) -> Result<(), String> {
    let seconds = |claim: &str| claims.get(claim).and_then(Value::as_f64);
    let now = now as f64;
    let told: Vec<String> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(many) => texts(many, &[]),
        None => Vec::new(),
    };
    if !told.iter().any(|audience| audiences.contains(audience)) {
        let (wanted, told) = (crate::value::quoted(audiences), crate::value::quoted(&told));
        return Err(format!("oidc: expected audience in {wanted} got {told}"));
    }
    match seconds("exp") {
        Some(expires) if now < expires => {}
        _ => return Err("oidc: token is expired".into()),
    }
    match seconds("nbf") {
        Some(from) if now + LEEWAY_SECONDS < from => {
            Err("oidc: current time is before the nbf (not before) time".into())
        }
        _ => Ok(()),
    }
}

/// The user, once all rules hold.
pub(super) fn user_of(issuer: &JwtIssuer, claims: &Claims) -> Result<User, String> {
    let all = Value::Object(claims.clone());
    let name = username(&issuer.username, claims, &all)?;
    let groups = match &issuer.groups {
        Mapping::None => Vec::new(),
        Mapping::Claim { claim, prefix } => match claims.get(claim) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(one)) => vec![format!("{prefix}{one}")],
            Some(Value::Array(many)) if many.iter().all(Value::is_string) => {
                texts(&Value::from(many.clone()), &[])
                    .iter()
                    .map(|group| format!("{prefix}{group}"))
                    .collect()
            }
            Some(_) => return Err(format!("oidc: parse groups claim {claim:?}: json: cannot unmarshal")),
        },
        Mapping::Expression(expression) => listed(&evaluated("group", expression, &all)?),
    };
    let uid = match &issuer.uid {
        Mapping::None => String::new(),
        Mapping::Claim { claim, .. } => {
            string(claims, claim).map_err(|why| format!("oidc: parse uid claim {claim:?}: {why}"))?
        }
        Mapping::Expression(expression) => plain("uid", &evaluated("uid", expression, &all)?)?,
    };
    let mut user = User { name, uid, groups, ..User::default() };
    for (key, expression) in &issuer.extra {
        let values = listed(&evaluated("extra", expression, &all)?);
        if !values.is_empty() {
            user.extra.insert(key.clone(), values);
        }
    }
    for rule in &issuer.claim_rules {
        check_claims(rule, claims, &all)?;
    }
    let info = json!({"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra});
    for rule in &issuer.user_rules {
        hold(rule, Over::User, &info, "user info")?;
    }
    Ok(user)
}

fn username(mapping: &Mapping, claims: &Claims, all: &Value) -> Result<String, String> {
    match mapping {
        Mapping::None => Err("oidc: no username is mapped".into()),
        Mapping::Claim { claim, prefix } => {
            let name = string(claims, claim)
                .map_err(|why| format!("oidc: parse username claims {claim:?}: {why}"))?;
            // An unverified address proves nothing; one of which nothing is said is taken.
            if claim == "email" {
                match claims.get("email_verified") {
                    None | Some(Value::Bool(true)) => {}
                    Some(Value::Bool(false)) => return Err("oidc: email not verified".into()),
                    Some(_) => return Err("oidc: parse 'email_verified' claim: not a bool".into()),
                }
            }
            Ok(format!("{prefix}{name}"))
        }
        Mapping::Expression(expression) => {
            let name = plain("username", &evaluated("username", expression, all)?)?;
            if name.is_empty() {
                Err("oidc: empty username via CEL expression is not allowed".into())
            } else {
                Ok(name)
            }
        }
    }
}

fn string(claims: &Claims, claim: &str) -> Result<String, String> {
    match claims.get(claim) {
        None => Err("claim not present".into()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err("json: cannot unmarshal into a string".into()),
    }
}

fn evaluated(what: &str, expression: &Expression, claims: &Value) -> Result<Value, String> {
    expression
        .evaluate(Over::Claims, claims)
        .map_err(|why| format!("oidc: error evaluating {what} claim expression: {why}"))
}

fn plain(what: &str, value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_string).ok_or_else(|| format!("oidc: {what} claim expression gave no string"))
}

/// A string, or a list of strings; empty strings are nothing.
fn listed(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) if !one.is_empty() => vec![one.clone()],
        Value::Array(_) => texts(value, &[]).into_iter().filter(|text| !text.is_empty()).collect(),
        _ => Vec::new(),
    }
}

fn check_claims(rule: &ClaimRule, claims: &Claims, all: &Value) -> Result<(), String> {
    match rule {
        ClaimRule::Required { claim, value } => match claims.get(claim) {
            None => Err(format!("oidc: required claim {claim} not present in ID token")),
            Some(Value::String(told)) if told == value => Ok(()),
            Some(told) => {
                let told = told.as_str().map_or_else(|| told.to_string(), str::to_string);
                Err(format!(
                    "oidc: required claim {claim} value does not match. Got = {told}, want = {value}"
                ))
            }
        },
        ClaimRule::Expression(rule) => hold(rule, Over::Claims, all, "claim"),
    }
}

fn hold(rule: &Rule, over: Over, value: &Value, what: &str) -> Result<(), String> {
    let failed = |why: String| format!("oidc: error evaluating {what} validation expression: {why}");
    match rule.expression.evaluate(over, value).map_err(failed)? {
        Value::Bool(true) => Ok(()),
        _ if rule.message.is_empty() => {
            Err(failed(format!("validation expression '{}' failed", rule.expression.text())))
        }
        _ => Err(failed(format!(
            "validation expression '{}' failed: {}",
            rule.expression.text(),
            rule.message
        ))),
    }
}
