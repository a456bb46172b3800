//! Links the binary at a fixed address. As a static position-independent executable every process of it (and there is one
//! per pod) would relocate, and so own, a megabyte or two of pages that it can share.

fn main() {
    println!("cargo:rustc-link-arg-bin=oarlock=-static");
    println!("cargo:rustc-link-arg-bin=oarlock=-no-pie");
    println!("cargo:rerun-if-changed=build.rs");
}
