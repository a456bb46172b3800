//! Audit: who did what, as the policy says, to a log or a webhook.
