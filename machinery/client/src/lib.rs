//! oarlock-client.
