//! ConfigMaps, Secrets and ServiceAccounts.

mod validate;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::value::{items_mut, object_mut, remove, text};

pub(crate) static CONFIG_MAP: Kind = Kind {
    validate: validate::config_map,
    changes: validate::frozen,
    cells: Some(super::cells::config_map),
    ..Kind::PLAIN
};

pub(crate) static SECRET: Kind = Kind {
    prepare_create: |_, secret| merge_string_data(secret),
    prepare_update: |_, secret, old| {
        // A client that leaves the type out means the one it has.
        if text(&secret["type"]).is_empty() {
            secret["type"] = old["type"].clone();
        }
        merge_string_data(secret);
    },
    fields: |secret| vec![("type", text(&secret["type"]).to_string())],
    validate: validate::secret,
    changes: validate::secret_changes,
    warn: validate::warn,
    cells: Some(super::cells::secret),
    ..Kind::PLAIN
};

pub(crate) static SERVICE_ACCOUNT: Kind = Kind {
    prepare_create: |_, account| trim_secrets(account),
    prepare_update: |_, account, _| trim_secrets(account),
    warn: |account, _, warnings| {
        const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
        if !account["metadata"]["annotations"][ENFORCE].is_null() {
            warnings.push(format!(
                "metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
            ));
        }
    },
    cells: Some(crate::print::name_and_age),
    ..Kind::CONDITIONAL
};

/// `stringData` is for writing only: it ends in `data`, over what is there.
fn merge_string_data(secret: &mut Value) {
    let Some(Value::Object(plain)) = remove(secret, "stringData") else { return };
    if plain.is_empty() {
        return;
    }
    let data = object_mut(secret, "data");
    for (key, value) in plain {
        data.insert(key, STANDARD.encode(text(&value)).into());
    }
}

/// Of references to secrets only the name counts.
fn trim_secrets(account: &mut Value) {
    for reference in items_mut(account, "secrets") {
        *reference = json!({ "name": reference["name"] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_data_goes_over_data() {
        let mut secret = json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "new"}});
        merge_string_data(&mut secret);
        assert_eq!(secret, json!({"data": {"a": "bmV3", "b": "eQ=="}}));
    }
}
