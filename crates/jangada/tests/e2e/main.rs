//! End to end: the real binary, real processes, real sockets.
fn main() {}
