//! The built binary, where no cluster is needed. (That this test exists makes `cargo test --workspace` build the binary that
//! the end-to-end tests run.)

use std::process::{Command, Output};

fn oarlock(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oarlock")).args(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_tells_its_version() {
    let output = oarlock(&["version"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with("v1.36."), "{}", text(&output.stdout));
}

#[test]
fn an_unknown_flag_is_refused_with_what_there_is() {
    let output = oarlock(&["up", "--https-prot", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--https-port"), "{}", text(&output.stderr));
}

/// As an image it has nothing beside itself: no loader, no library (ELF: no PT_INTERP among the program headers).
#[test]
fn it_is_linked_statically() {
    const PT_INTERP: u32 = 3;
    let binary = std::fs::read(env!("CARGO_BIN_EXE_oarlock")).expect("the binary can be read");
    let number = |at: usize, bytes: usize| {
        binary[at..at + bytes].iter().rev().fold(0_usize, |n, byte| n << 8 | usize::from(*byte))
    };
    let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let kinds: Vec<usize> = (0..count).map(|n| number(headers + n * size, 4)).collect();
    assert!(!kinds.is_empty() && !kinds.contains(&(PT_INTERP as usize)), "{kinds:?}");
}
