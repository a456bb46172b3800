//! oarlock-network.
