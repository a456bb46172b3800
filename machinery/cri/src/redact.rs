//! `Debug` of the messages that carry secrets: names are shown, values never.

use std::fmt;

use crate::v1::{AuthConfig, KeyValue};

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig").field("server_address", &self.server_address).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let auth = AuthConfig { username: "u".into(), password: "hunter2".into(), ..Default::default() };
        let request = crate::v1::PullImageRequest { auth: Some(auth), ..Default::default() };
        assert!(!format!("{request:?}").contains("hunter2"));
        let env = KeyValue { key: "TOKEN".into(), value: b"hunter2".to_vec() };
        assert_eq!(format!("{env:?}"), "KeyValue { key: \"TOKEN\", .. }");
    }
}
