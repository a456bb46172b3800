//! oarlock-scheduler.
