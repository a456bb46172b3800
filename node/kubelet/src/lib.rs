//! oarlock-kubelet.
