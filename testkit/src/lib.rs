//! oarlock-testkit.
