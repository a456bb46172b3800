//! Who may do what: authentication, authorisation and admission. Each is a chain of links behind one trait; the request
//! chain of the API server calls them in its order and knows none of them by name.

mod types;

pub use types::{
    AdmissionPlugin, AdmissionRequest, Attributes, AuthenticationError, Authenticator, Authorizer, Credentials, Decision,
    ObjectEvent, Objects, Operation, Rules, User,
};
