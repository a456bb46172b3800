//! The names of managers.

use crate::field::{FieldError, FieldErrors, Path};

/// Longer names are refused.
pub const MANAGER_BYTES_MAX: usize = 128;

/// The manager of a request: what it says, or the start of its user agent (`kubectl/v1.36…` is `kubectl`). Empty where
/// neither says anything; such changes are owned by `unknown`.
pub fn manager_or_user_agent(manager: &str, user_agent: &str) -> String {
    if !manager.is_empty() {
        return manager.to_string();
    }
    let mut name = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| is_printable(*c)) {
        if name.len() + c.len_utf8() > MANAGER_BYTES_MAX {
            break;
        }
        name.push(c);
    }
    name
}

/// Validates the `fieldManager` of a request or of an entry.
pub fn validate_manager(manager: &str, path: &Path) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if manager.len() > MANAGER_BYTES_MAX {
        errors.push(FieldError::too_long(path.clone(), MANAGER_BYTES_MAX));
    }
    // Upstream complains once for each such character.
    for _ in manager.chars().filter(|c| !is_printable(*c)) {
        let told = "should only contain printable characters";
        errors.push(FieldError::invalid(path.clone(), manager, told));
    }
    errors
}

/// As Go's `unicode.IsPrint`, near enough: no controls, no separators but the space, no format characters.
fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
                | '\u{f0000}'..='\u{10ffff}'))
}
