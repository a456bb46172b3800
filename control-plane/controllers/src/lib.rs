//! oarlock-controllers.
