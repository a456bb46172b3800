//! The runtime as a kubelet meets it: real containers through CRI, from an image built on the fly. Needs root, and
//! busybox-static and docker-registry on the machine.

mod containers;
mod contract;
mod dropped;
mod images;
mod streams;
mod support;
