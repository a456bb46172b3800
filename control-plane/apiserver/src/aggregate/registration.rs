//! The APIServices that this server keeps itself: of built-in versions, once at its start; of custom resources, always.
//! Which are its own is told by a label; whoever takes the label away has the object.

use serde_json::{Value, json};

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// How an APIService is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A built-in version's.
    OnStart,
    /// A custom resource's.
    Always,
}

impl Kept {
    fn label(self) -> &'static str {
        match self {
            Self::OnStart => "onstart",
            Self::Always => "true",
        }
    }

    fn of(service: &Value) -> Option<Self> {
        let label = service["metadata"]["labels"][MANAGED].as_str()?;
        [Self::OnStart, Self::Always].into_iter().find(|kept| kept.label() == label)
    }
}

/// What is to be done about an APIService.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Nothing,
    Create(Value),
    Replace(Value),
    Delete,
}

/// The APIService of a version; this server answers for it.
pub(crate) fn registration(kept: Kept, group: &str, version: &str, priorities: (i64, i64)) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": format!("{version}.{group}"), "labels": { MANAGED: kept.label() } },
        "spec": {
            "group": group, "version": version,
            "groupPriorityMinimum": priorities.0, "versionPriority": priorities.1,
        },
    })
}

/// `starting`: the server looks for the first time, and what exists was there before it.
pub(crate) fn duty(wanted: Option<&Value>, existing: Option<&Value>, starting: bool) -> Duty {
    let kept = wanted.and_then(Kept::of);
    if kept == Some(Kept::OnStart) && !starting {
        return Duty::Nothing;
    }
    let Some(existing) = existing else {
        return wanted.cloned().map_or(Duty::Nothing, Duty::Create);
    };
    match Kept::of(existing) {
        None => Duty::Nothing,
        Some(Kept::OnStart) if !starting => Duty::Nothing,
        Some(_) => match wanted {
            None => Duty::Delete,
            Some(wanted) if same_spec(existing, wanted) => Duty::Nothing,
            Some(wanted) => {
                let mut new = existing.clone();
                new["spec"] = wanted["spec"].clone();
                Duty::Replace(new)
            }
        },
    }
}

/// Whether a stored APIService says what is wanted; the group of the core is told by its absence, or not.
fn same_spec(existing: &Value, wanted: &Value) -> bool {
    let plain = |service: &Value| {
        let mut spec = service["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|_, value| !value.is_null() && value.as_str() != Some("") && *value != false);
        }
        spec
    };
    plain(existing) == plain(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's table: what exists by what is wanted. `d` deletes, `c` creates, `u` updates.
    #[test]
    fn what_is_wanted_meets_what_exists() {
        let wanted = [
            None,
            Some(registration(Kept::OnStart, "a.io", "v1", (2000, 10))),
            Some(registration(Kept::Always, "a.io", "v1", (2000, 10))),
        ];
        let mut mine = registration(Kept::OnStart, "a.io", "v1", (1, 1));
        let once = mine.clone();
        let always = registration(Kept::Always, "a.io", "v1", (1, 1));
        mine["metadata"]["labels"] = json!({});
        for (what, existing, starting, want) in [
            ("not found, at the start", None, true, "- c c"),
            ("not found", None, false, "- - c"),
            ("somebody's, at the start", Some(&mine), true, "- - -"),
            ("somebody's", Some(&mine), false, "- - -"),
            ("kept on start, at the start", Some(&once), true, "d u u"),
            ("kept on start", Some(&once), false, "- - -"),
            ("kept always, at the start", Some(&always), true, "d u u"),
            ("kept always", Some(&always), false, "d - u"),
        ] {
            let duties = wanted.iter().map(|wanted| match duty(wanted.as_ref(), existing, starting) {
                Duty::Nothing => "-",
                Duty::Create(_) => "c",
                Duty::Replace(_) => "u",
                Duty::Delete => "d",
            });
            assert_eq!(duties.collect::<Vec<_>>().join(" "), want, "{what}");
        }
    }

    #[test]
    fn only_the_specification_is_put_back() {
        let wanted = registration(Kept::Always, "a.io", "v1", (2000, 10));
        let mut existing = wanted.clone();
        existing["metadata"]["annotations"] = json!({"mine": "yes"});
        existing["status"] = json!({"conditions": []});
        assert_eq!(duty(Some(&wanted), Some(&existing), false), Duty::Nothing);
        let kept = existing.clone();
        existing["spec"]["groupPriorityMinimum"] = json!(7);
        existing["spec"]["insecureSkipTLSVerify"] = json!(true);
        assert_eq!(duty(Some(&wanted), Some(&existing), false), Duty::Replace(kept));
        let core = registration(Kept::OnStart, "", "v1", (18000, 1));
        let mut stored = core.clone();
        stored["spec"].as_object_mut().expect("a map").remove("group");
        assert_eq!(duty(Some(&core), Some(&stored), true), Duty::Nothing, "the core group has no name");
    }
}
