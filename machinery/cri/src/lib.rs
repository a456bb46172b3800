//! oarlock-cri.
