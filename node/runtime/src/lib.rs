//! oarlock-runtime.
