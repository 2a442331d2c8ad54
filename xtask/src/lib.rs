//! The project's own chores, as a library so that tests can use the same checks.

use std::path::{Path, PathBuf};

pub mod source; // Rust text, read without a compiler
pub mod mutants; // bugs that are planted on purpose
#[cfg(feature = "codegen")]
pub mod codegen; // .proto files into Rust
#[cfg(feature = "etcd-diff")]
pub mod etcd_diff; // the same requests to a real etcd and to us
pub mod fuzz; // inputs that break something
pub mod tidy; // what the compiler and clippy cannot check

/// The top folder of the work tree.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_path_buf()
}
