//! oarlock-pki.
