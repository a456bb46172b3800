//! The static token file: `token,user,uid,"group1,group2"` a line, read at start.

use std::collections::HashMap;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::TokenHolder;
use super::tokens::{ApiAudiences, TokenAuthenticator};
use crate::types::{AuthenticationError, User};

/// By digest: the memory of the server holds no usable credential, and a look-up tells nothing by its time.
pub struct StaticTokens {
    users: HashMap<[u8; 32], User>,
    audiences: ApiAudiences,
}

impl StaticTokens {
    pub fn parse(file: &str, api_audiences: Vec<String>) -> Result<Self, String> {
        let mut users = HashMap::new();
        for (i, line) in file.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let columns = columns(line).ok_or_else(|| format!("token file: line {}: bad quotes", i + 1))?;
            let [token, name, uid, rest @ ..] = columns.as_slice() else {
                return Err(format!(
                    "token file must have at least 3 columns (token, user name, user uid), found {} in line {}",
                    columns.len(),
                    i + 1
                ));
            };
            if token.is_empty() {
                tracing::warn!(line = i + 1, "empty token has been found in token file");
                continue;
            }
            let groups = rest.first().map(String::as_str).unwrap_or_default();
            let groups = groups.split(',').filter(|group| !group.is_empty()).map(str::to_string).collect();
            let user = User { name: name.clone(), uid: uid.clone(), groups, ..User::default() };
            users.insert(Sha256::digest(token).into(), user);
        }
        Ok(Self { users, audiences: ApiAudiences(api_audiences) })
    }
}

/// The columns of a line (RFC 4180); None where quotes do not close.
fn columns(line: &str) -> Option<Vec<String>> {
    let (mut columns, mut current, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                current.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(std::mem::take(&mut current)),
            ' ' if current.is_empty() && !quoted => {}
            other => current.push(other),
        }
    }
    columns.push(current);
    (!quoted).then_some(columns)
}

#[async_trait]
impl TokenAuthenticator for StaticTokens {
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let Some(user) = self.users.get(&digest) else { return Ok(None) };
        let audiences = self.audiences.among(audiences);
        Ok(audiences.map(|audiences| TokenHolder { user: user.clone(), audiences }))
    }
}
