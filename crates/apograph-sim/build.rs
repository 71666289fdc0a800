//! `getrandom` of the C library is looked up by name while the program runs: the one of `src/os/calls.rs` must be found.

fn main() {
    println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol=getrandom");
    println!("cargo::rerun-if-changed=build.rs");
}
