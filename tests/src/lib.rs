//! oarlock-tests.
