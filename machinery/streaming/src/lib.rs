//! oarlock-streaming.
