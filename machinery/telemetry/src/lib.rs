//! oarlock-telemetry.
