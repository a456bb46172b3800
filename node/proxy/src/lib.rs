//! oarlock-proxy.
