//! The command line of Apograph.
fn main() {}
