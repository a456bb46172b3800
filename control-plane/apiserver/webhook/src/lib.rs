//! Calling webhooks: the client that admission, conversion, authentication, authorisation and audit share.
