//! `fuzz/libfuzzer/run TARGET [libFuzzer's flags]`

#![no_main]

use std::sync::LazyLock;

use oarlock_fuzz::{targets, Target};

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("OARLOCK_TARGET").expect("OARLOCK_TARGET names the target");
    targets::ALL.iter().find(|target| target.name == name).expect("the target exists")
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    (TARGET.run)(input);
});
