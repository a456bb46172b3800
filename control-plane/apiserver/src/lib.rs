//! oarlock-apiserver.
